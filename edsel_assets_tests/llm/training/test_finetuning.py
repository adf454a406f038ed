from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from edsel_assets.llm.models.adapters import adapted
from edsel_assets.llm.training import loop
from edsel_assets.llm.training.finetuning import Example, FinetuneSettings, finetune, planned_steps
from edsel_assets.llm.training.settings import loss_fall
from edsel_assets_tests.llm.tiny import BYTE_FAMILIES, byte_model, byte_tokenizer

EXAMPLES = [Example(f"Q: {i} and {i}?\nA: ", "yes" * (i % 5 + 1)) for i in range(24)]
SMALL: dict[str, Any] = {
    "rank": 4,
    "dropout": 0.0,
    "batch_size": 8,
    "epochs": 2,
    "learning_rate": 1e-2,
    "max_length": 128,
}


def train(model: Any, folder: Path, seed: int = 0, examples: Any = EXAMPLES, **changes: Any) -> Any:
    settings = FinetuneSettings(**SMALL | changes)
    return finetune(model, byte_tokenizer(), examples, settings, seed=seed, output_dir=folder)


def weights(folder: Path) -> bytes:
    (path,) = folder.glob("*.safetensors")
    return path.read_bytes()


def snapshot(model: Any) -> tuple[Any, ...]:
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    modules = {name: (type(module), module.training) for name, module in model.named_modules()}
    return (
        tensors,
        flags,
        modules,
        model.config.to_dict(),
        model.config._attn_implementation,
        set(model.__dict__),
    )


def assert_untouched(model: Any, before: tuple[Any, ...]) -> None:
    after = snapshot(model)
    assert after[1:] == before[1:]
    assert after[0].keys() == before[0].keys()
    assert all(torch.equal(after[0][name], before[0][name]) for name in after[0])
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("method", ["lora", "dora", "full"])
def test_learns_repeats_byte_for_byte_and_leaves_the_base_alone(method: str, tmp_path: Path) -> None:
    model = byte_model()
    before, state = snapshot(model), torch.random.get_rng_state()
    first = train(model, tmp_path / "a", method=method, epochs=8, dropout=0.1)
    second = train(model, tmp_path / "b", method=method, epochs=8, dropout=0.1)
    other = train(model, tmp_path / "c", method=method, epochs=8, dropout=0.1, seed=1)
    assert_untouched(model, before)
    assert torch.equal(state, torch.random.get_rng_state())
    assert first.final_loss < first.log[0]["loss"] - 0.3
    assert weights(first.path) == weights(second.path) != weights(other.path)
    assert (first.path / "training_log.json").is_file()
    assert [entry["step"] for entry in first.log] == list(range(1, 8 * 3 + 1))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_micro_batches_side_by_side_train_to_the_same_bytes(method: str, tmp_path: Path) -> None:
    model = byte_model()
    before, files = snapshot(model), set()
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        result = train(model, tmp_path / str(count), method=method, micro_batch_tokens=40)
        files.add(weights(result.path))
        assert torch.get_num_threads() == count
    assert len(files) == 1
    assert_untouched(model, before)


def test_side_by_side_is_what_one_after_the_other_is(tmp_path: Path, monkeypatch: Any) -> None:
    model, passes = byte_model(), []
    real = loop._differentiated
    monkeypatch.setattr(loop, "_differentiated", lambda *given: passes.append(1) or real(*given))
    torch.set_num_threads(3)
    beside = train(model, tmp_path / "beside", micro_batch_tokens=40)
    assert len(passes) > len(beside.log)
    passes.clear()
    dropout = train(model, tmp_path / "dropout", micro_batch_tokens=40, dropout=1e-9)  # drawn from one state
    assert not passes
    for one, other in zip(beside.log, dropout.log, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


def test_a_model_that_draws_by_its_configuration_takes_turns(tmp_path: Path, monkeypatch: Any) -> None:
    model, passes = byte_model(), []
    real = loop._differentiated
    monkeypatch.setattr(loop, "_differentiated", lambda *given: passes.append(1) or real(*given))
    train(model, tmp_path / "a")
    assert passes
    passes.clear()
    model.config.router_jitter_noise = 0.01
    train(model, tmp_path / "b")
    assert not passes


@pytest.mark.parametrize("family", BYTE_FAMILIES)
def test_how_a_batch_is_cut_changes_nothing(family: str, tmp_path: Path) -> None:
    model = byte_model(family)
    whole = train(model, tmp_path / "whole", micro_batch_tokens=10_000)
    for tokens in (60, 1):
        cut = train(model, tmp_path / str(tokens), micro_batch_tokens=tokens)
        for one, other in zip(whole.log, cut.log, strict=True):
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
            assert one["tokens"] == other["tokens"]
        assert whole.log[0]["grad_norm"] == pytest.approx(cut.log[0]["grad_norm"], rel=1e-4)


def test_first_loss_is_the_mean_over_the_batch_s_response_tokens(tmp_path: Path) -> None:
    model = byte_model()
    result = train(model, tmp_path / "a", batch_size=24, epochs=1, method="full", micro_batch_tokens=64)
    total, count = 0.0, 0
    for example in EXAMPLES:
        tokens = byte_tokenizer()(example.prompt + example.response)["input_ids"] + [256]
        ids = torch.tensor([tokens])
        logprobs = model(input_ids=ids).logits[0].double().log_softmax(-1)
        start = len(example.prompt)
        total -= sum(logprobs[i - 1, tokens[i]].item() for i in range(start, len(tokens)))
        count += len(tokens) - start
    assert result.log[0]["loss"] == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_killed_and_resumed_ends_in_the_same_bytes(method: str, tmp_path: Path) -> None:
    model = byte_model()
    settings = FinetuneSettings(
        **SMALL | {"method": method, "checkpoint_steps": 2, "dropout": 0.1, "epochs": 3}
    )
    whole = train(model, tmp_path / "whole", method=method, dropout=0.1, epochs=3)

    def die(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    def run(progress: Any) -> Any:
        folder = tmp_path / "resumed"
        return finetune(
            model, byte_tokenizer(), EXAMPLES, settings, seed=0, output_dir=folder, progress=progress
        )

    with pytest.raises(KeyboardInterrupt):
        run(die)
    assert not (tmp_path / "resumed").exists()
    steps: list[int] = []
    resumed = run(lambda done, total: steps.append(done))
    assert resumed.resumed_at == 4
    assert steps == [5, 6, 7, 8, 9]
    assert weights(resumed.path) == weights(whole.path)
    assert [entry["loss"] for entry in resumed.log] == [entry["loss"] for entry in whole.log]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resumed", "whole"]


KILLED = """
import os, signal, sys
from edsel_assets.llm.training.finetuning import FinetuneSettings, finetune
from edsel_assets_tests.llm.training.test_finetuning import EXAMPLES, SMALL
from edsel_assets.llm.training.settings import loss_fall
from edsel_assets_tests.llm.tiny import byte_model, byte_tokenizer

settings = FinetuneSettings(**SMALL | {"checkpoint_steps": 1})
stop = lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done == int(sys.argv[2]) else None
finetune(byte_model(), byte_tokenizer(), EXAMPLES, settings, seed=0, output_dir=sys.argv[1], progress=stop)
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 4])
def test_kill_9_loses_at_most_the_steps_since_the_checkpoint(step: int, tmp_path: Path) -> None:
    whole = train(byte_model(), tmp_path / "whole")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(step)]
    killed = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed = train(byte_model(), tmp_path / "killed", checkpoint_steps=1)
    assert resumed.resumed_at == step
    assert weights(resumed.path) == weights(whole.path)


def test_a_checkpoint_of_another_run_is_not_resumed(tmp_path: Path) -> None:
    model = byte_model()

    def die(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    settings = FinetuneSettings(**SMALL | {"checkpoint_steps": 2})
    with pytest.raises(KeyboardInterrupt):
        finetune(model, byte_tokenizer(), EXAMPLES, settings, seed=0, output_dir=tmp_path / "a", progress=die)
    changed = [*EXAMPLES[:-1], Example("other", "text")]
    assert train(model, tmp_path / "a", examples=changed, checkpoint_steps=2).resumed_at == 0


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_was_trained_comes_back(method: str, tmp_path: Path) -> None:
    model = byte_model()
    before = snapshot(model)
    result = train(model, tmp_path / "a", method=method, epochs=6)
    ids = torch.tensor([byte_tokenizer()(EXAMPLES[0].prompt + "yes")["input_ids"]])
    plain = model(input_ids=ids).logits
    with torch.no_grad(), adapted(model, result.path) as trained:
        attached = trained(input_ids=ids).logits
    assert_untouched(model, before)
    with torch.no_grad(), adapted(model, result.path, merge=True) as trained:
        merged = trained(input_ids=ids).logits
    assert_untouched(model, before)
    assert (attached - plain).abs().max() > 0.1
    assert torch.allclose(attached, merged, atol=1e-4)
    with adapted(model, None) as trained:
        assert trained is model


def test_gradient_checkpointing_changes_nothing_but_memory(tmp_path: Path) -> None:
    model = byte_model()
    before = snapshot(model)
    plain = train(model, tmp_path / "a")
    checkpointed = train(model, tmp_path / "b", gradient_checkpointing=True)
    assert_untouched(model, before)
    assert [e["loss"] for e in plain.log] == pytest.approx([e["loss"] for e in checkpointed.log], rel=1e-5)


def test_weight_decay_and_clipping_do_something(tmp_path: Path) -> None:
    model = byte_model()
    plain = weights(train(model, tmp_path / "a", max_grad_norm=None).path)
    assert weights(train(model, tmp_path / "b", max_grad_norm=None, weight_decay=0.5).path) != plain
    assert weights(train(model, tmp_path / "c", max_grad_norm=0.01).path) != plain


def test_bfloat16_trains_close_to_float32(tmp_path: Path) -> None:
    model = byte_model()
    exact = train(model, tmp_path / "a", epochs=4)
    rounded = train(model, tmp_path / "b", epochs=4, dtype="bfloat16")
    assert rounded.final_loss == pytest.approx(exact.final_loss, rel=0.1)
    assert weights(exact.path) != weights(rounded.path)
    assert all(
        t.dtype == torch.float32 for t in load_file(rounded.path / "adapter_model.safetensors").values()
    )


def test_target_modules_are_those_asked_for(tmp_path: Path) -> None:
    every = load_file(train(byte_model(), tmp_path / "a").path / "adapter_model.safetensors")
    two = train(byte_model(), tmp_path / "b", target_modules=("q_proj", "v_proj"))
    some = load_file(two.path / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in every} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"
    }  # fmt: skip
    assert {name.split(".")[-3] for name in some} == {"q_proj", "v_proj"}
    assert json.loads((two.path / "adapter_config.json").read_text())["r"] == 4


def test_refused_before_training(tmp_path: Path) -> None:
    model = byte_model()
    with pytest.raises(ValueError, match="no examples"):
        train(model, tmp_path / "a", examples=[])
    with pytest.raises(ValueError, match="shorter than the run; got 6 steps of 6"):
        train(model, tmp_path / "a", warmup=6)
    with pytest.raises(ValueError, match="no example fits: every prompt takes 4 tokens"):
        train(model, tmp_path / "a", max_length=4)
    assert not list(tmp_path.iterdir())
    assert not hasattr(model, "peft_config")


def test_running_out_of_memory_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("no memory")

    model = byte_model()
    before = snapshot(model)
    monkeypatch.setattr(loop, "_step", fail)
    with pytest.raises(MemoryError, match=r"77 tokens in a forward pass\. Lower micro_batch_tokens"):
        train(model, tmp_path / "a", micro_batch_tokens=77)
    assert_untouched(model, before)
    assert not list(tmp_path.iterdir())


def test_left_overs_of_a_killed_run_are_swept_and_a_former_result_replaced(tmp_path: Path) -> None:
    half = tmp_path / ".a.0123456789abcdef.tmp"
    half.mkdir()
    (half / "adapter_config.json").write_text("written")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("result")
    train(byte_model(), tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "training_log.json",
    ]


def test_steps_follow_from_examples_batch_and_epochs() -> None:
    assert planned_steps(10_000, FinetuneSettings(batch_size=64, epochs=3)) == 471
    with pytest.raises(ValueError, match="warm-up"):
        planned_steps(10_000, FinetuneSettings(batch_size=64, epochs=3, warmup=1000))


@pytest.mark.parametrize(
    ("examples", "epochs", "size", "steps"),
    [
        (1, 5, 1, 5),  # fewer than 40 / 5 examples give fewer steps
        (8, 5, 1, 40),
        (15, 5, 1, 75),
        (16, 5, 2, 40),
        (51, 5, 4, 65),  # 51 x 5 / 40 = 6.4
        (1000, 5, 64, 80),
        (1023, 5, 64, 80),
        (1024, 5, 128, 40),
        (10_000, 5, 128, 395),
        (51, 1, 1, 51),
    ],
)
def test_auto_is_the_largest_power_of_two_with_forty_steps(examples, epochs, size, steps) -> None:
    settings = FinetuneSettings(epochs=epochs)
    found = settings.for_examples(examples)
    assert found.batch_size == size
    assert planned_steps(examples, settings) == planned_steps(examples, found) == steps
    assert FinetuneSettings(batch_size=7, learning_rate=0.1).for_examples(examples).batch_size == 7
    doubled = math.ceil(examples / (2 * size)) * epochs
    assert size == 128 or doubled < 40 or examples * epochs / (2 * size) < 40


def test_a_run_says_what_auto_was_and_how_far_its_loss_fell(tmp_path: Path) -> None:
    found = train(byte_model(), tmp_path / "a", batch_size="auto", learning_rate="auto", epochs=2)
    assert (found.batch_size, found.learning_rate, found.steps) == (1, 5e-4, 48)
    log = json.loads((found.path / "training_log.json").read_text())
    assert (log["settings"]["batch_size"], log["settings"]["learning_rate"]) == (1, 5e-4)
    first, last = found.log[:24], found.log[24:]
    # A response and its end token, in bytes, over all 24 examples of an epoch.
    assert sum(e["response_tokens"] for e in first) == sum(len(e.response) + 1 for e in EXAMPLES)
    before, after = (
        sum(e["loss"] * e["response_tokens"] for e in part) / sum(e["response_tokens"] for e in part)
        for part in (first, last)
    )
    assert log["loss_fall"] == found.loss_fall == pytest.approx(1 - after / before)
    assert found.loss_fall > 0.02


def test_examples_that_are_left_out_do_not_count_for_the_batch(tmp_path: Path) -> None:
    long = [Example("x" * 200, "no room")] * 60
    found = train(byte_model(), tmp_path / "a", examples=[*EXAMPLES[:20], *long], batch_size="auto", epochs=4)
    assert (found.dropped, found.batch_size, found.steps) == (60, 2, 40)  # 20 x 4 / 40 = 2


def test_the_fall_of_the_loss_by_hand() -> None:
    def log(*losses: float) -> list[dict[str, float]]:
        return [{"loss": loss, "response_tokens": 1 + i % 2} for i, loss in enumerate(losses)]

    # Epochs of two steps with 1 and 2 tokens: (4 + 2 x 1) / 3 = 2, then (2 + 2 x 0.5) / 3 = 1.
    assert loss_fall(log(4, 1, 9, 9, 2, 0.5), epochs=3) == pytest.approx(0.5)
    assert loss_fall(log(1, 1, 2, 2), epochs=2) == pytest.approx(-1.0)
    # One epoch: the first and the last of four quarters.
    assert loss_fall(log(4, 9, 9, 3), epochs=1) == pytest.approx(0.25)
    assert loss_fall(log(0.0), epochs=1) == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "lorra"}, "method must be one of lora, dora, full; got 'lorra'"),
        ({"schedule": "step"}, "schedule must be one of"),
        ({"rank": 0}, "rank must be a whole number of at least 1; got 0"),
        ({"warmup": 1.5}, "warmup must be a share"),
        ({"warmup": -1}, "must not be negative"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": "high"}, "learning_rate must be positive"),
        ({"batch_size": "all"}, "batch_size must be a whole number"),
        ({"processes": 2}, "need launcher: accelerate"),
        ({"launcher": "accelerate", "fsdp": True}, "fsdp shards a full finetuning"),
        ({"packing": True}, "packing is gone"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FinetuneSettings(**change)


def test_settings_survive_json_and_refuse_unknown_names() -> None:
    settings = FinetuneSettings(target_modules=("q_proj",), warmup=7)
    assert FinetuneSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    with pytest.raises(ValueError, match=r"unknown finetuning settings \['lr'\]; known: .*learning_rate"):
        FinetuneSettings.from_dict({"lr": 1})


@pytest.mark.gpu
def test_how_a_batch_is_cut_changes_nothing_on_a_gpu(tmp_path: Path) -> None:
    model = byte_model().to("cuda")
    whole = train(model, tmp_path / "a", dtype="bfloat16")
    cut = train(model, tmp_path / "b", dtype="bfloat16", micro_batch_tokens=60)
    assert whole.final_loss == pytest.approx(cut.final_loss, rel=0.05)
    assert whole.peak_share is not None
    assert weights(train(model, tmp_path / "c", dtype="bfloat16").path) == weights(whole.path)
