"""The last model of a chain of rounds is scored as a trial is: adapters beside a base in its own format."""

from pathlib import Path

import pytest
import torch

from edsel_assets.llm import Example, FinetuneSettings, finetune, log_likelihoods
from edsel_assets.stages.chains import scored_chain
from edsel_assets.stages.trials import adapted_chain
from edsel_assets_tests.llm.tiny import byte_model, byte_tokenizer

PROMPTS, ANSWERS = ["a cat", "two"], [" sat", " and two"]


def chain_of(folder: Path, rounds: int) -> list[Path]:
    """Adapters of which each goes on from those before it."""
    made: list[Path] = []
    settings = FinetuneSettings(rank=2, epochs=2, learning_rate=1e-2, dropout=0.0, warmup=0)
    for number in range(rounds):
        with adapted_chain(byte_model(), made) as start:
            examples = [Example(PROMPTS[number % 2], ANSWERS[number % 2])]
            done = finetune(
                start, byte_tokenizer(), examples, settings, seed=number, output_dir=folder / str(number)
            )
        made.append(done.path)
    return made


def scores(model: torch.nn.Module) -> list[float]:
    return log_likelihoods(model, byte_tokenizer(), PROMPTS, ANSWERS, batch_tokens=64).total.tolist()


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_chain_is_scored_as_what_its_rounds_made(rounds: int, tmp_path: Path) -> None:
    chain = chain_of(tmp_path, rounds)
    with adapted_chain(byte_model(), chain) as merged:
        expected = scores(merged)
    with scored_chain(byte_model(), chain) as scored:
        assert scores(scored) == pytest.approx(expected, rel=1e-4)
    assert scores(byte_model()) != pytest.approx(expected, rel=1e-4)


def test_a_base_in_bfloat16_stays_so_as_in_a_trial(tmp_path: Path) -> None:
    chain = chain_of(tmp_path, 2)
    base = byte_model().to(torch.bfloat16)
    with scored_chain(base, chain) as scored:
        dtypes = {p.dtype for name, p in scored.named_parameters() if "lora" not in name}
        assert dtypes == {torch.bfloat16}
    with adapted_chain(base, chain) as merged:
        assert merged.dtype == torch.float32
