"""What the full study needs: figures by hand, and what is told to be here or missing."""

import json
from typing import Any

import pyarrow as pa
import pytest

from edsel_assets.kinds.work import Lengths
from edsel_assets.planning import estimates
from edsel_assets.planning.estimates import GPU_RATE
from edsel_assets.rehearsal import amounts
from edsel_assets.rehearsal.definitions import Tasks
from edsel_assets.rehearsal.need import Need, State
from edsel_assets.rehearsal.needs import load_with_gaps, needs_of
from edsel_assets.rehearsal.pool import PoolFacts
from edsel_assets.rehearsal.stand_ins import Rehearsal
from edsel_assets.rehearsal.takes import judged
from edsel_assets.study import Study, shipped_studies
from edsel_assets.study.base import Settings
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.rehearsal.test_scaled import shipped

LENGTHS = Lengths(prompts=1000, prompt=50.0, response=30.0)


def told(study: Study, tmp_path, pool: PoolFacts | None = None, unset: list[str] | None = None) -> list[Need]:
    tasks = Tasks(
        own=["one"], made_up=["two"], left_out={"three": "no form"}, data_sets={"a/b": None, "c": "/c"}
    )
    rehearsal = Rehearsal(study, study, tmp_path, pool, "there is no file", False, tasks)
    return needs_of(study, rehearsal, unset or [])


def one(needs: list[Need], what: str) -> Need:
    (found,) = [need for need in needs if need.what == what]
    return found


def test_tokens_by_hand() -> None:
    study = tiny_study(
        selection={"strategies": ["random", "iterative_kmq_perplexity"], "budgets": [60]},
        finetuning={"epochs": 2, "max_length": 64, "seeds": 1, "random_seeds": 2},
        rounds={"rounds": 3, "epochs": 1},
        forward={"max_new_tokens": 4, "max_prompt_tokens": 40},
    )
    assert len(amounts.trials(study)) == 3
    # 1,000 prompts, each cut at 40 tokens, and 4 written.
    assert amounts.read_tokens(study, LENGTHS) == 1000 * 44
    # Examples of 80 tokens are cut at 64; three trials of 60 twice; rounds on 20 and 40, the last only
    # chooses.
    assert amounts.trained_tokens(study, LENGTHS) == (3 * 60 * 2 + 20 + 40) * 64
    going_on = tiny_study(
        **{
            **study.model_dump(exclude={"name"}, exclude_unset=True),
            "rounds": {"rounds": 3, "start": "continue"},
        }
    )
    # Its trial is the last round of its chain, of one epoch.
    assert amounts.trained_tokens(going_on, LENGTHS) == (2 * 60 * 2 + 60 + 20 + 40) * 64


def test_embeddings_of_the_base_model_are_another_pass() -> None:
    study = tiny_study(
        forward={"max_new_tokens": 4, "max_prompt_tokens": 100},
        embeddings={"input": "prompt_response"},
        other_embeddings={"far": {"source": "cohere", "name": "x", "input": "prompt_response"}},
    )
    assert amounts.read_tokens(study, LENGTHS) == 1000 * (54 + 80)
    assert amounts.embedded_tokens(study, LENGTHS) == 1000 * 80


def test_an_adapter_of_llama_is_as_large_as_it_is() -> None:
    study = shipped("bhatt2024")
    shape = amounts.Shape.of(study)
    assert shape is not None
    assert (shape.weights, shape.layers, shape.source) == (7e9, 32, "its name")
    # Per layer q, k, v, o are 4096 x 4096; gate, up, down join 4096 and 11008; rank 64, 32 layers.
    exact = 64 * 32 * (4 * (4096 + 4096) + 3 * (4096 + 11008))
    assert amounts._adapter_weights(study, shape) == pytest.approx(exact, rel=0.03)


def test_memory_of_a_full_finetuning_is_shared_by_its_processes() -> None:
    study = shipped("yu2024")
    shape = amounts.Shape(7e9, 4096, 32, 32_000, "its name")
    found = amounts.memory(study, shape)
    assert found.weights == 2 * 7e9
    assert found.state == 16 * 7e9 / 2
    assert found.activations == 8192 * (2 * 4096 * 32 + 34 * 4096 + 8 * 32_000)
    assert found.total < 80e9, "two GPUs of 80 GB are enough"
    alone = study.finetuning.model_copy(update={"fsdp": False, "processes": 1, "launcher": None})
    assert amounts.memory(study.model_copy(update={"finetuning": alone}), shape).total > 80e9


def test_hours_by_hand() -> None:
    study = tiny_study(
        selection={"strategies": ["random"], "budgets": [60]},
        finetuning={"method": "full", "epochs": 1, "max_length": 100, "random_seeds": 1},
        forward={"max_new_tokens": 4, "max_prompt_tokens": 100},
    )
    shape = amounts.Shape(1e9, 100, 10, 100, "its name")
    read, trained = amounts.hours(study, shape, LENGTHS)
    # Nothing reads what is decoded: 1,000 prompts of 50 tokens.
    assert read == pytest.approx(2 * 1e9 * 50_000 / GPU_RATE / 3600)
    assert trained == pytest.approx(6 * 1e9 * 60 * 80 / GPU_RATE / 3600)


def test_hours_at_the_papers_rate() -> None:
    study = shipped("bhatt2024")
    # 45K takes 15 hours, 90K takes 24; 20K by its share of 30K's 9: 6.
    single = {"strategies": ["random"], "budgets": [20_000, 30_000, 45_000, 67_500, 90_000, 180_000]}
    one_seed = {"random_seeds": 1}
    small = tiny_study(selection=single, finetuning=one_seed)
    assert amounts.paper_hours(small) == pytest.approx(6 + 9 + 15 + 19.5 + 24 + 48)
    # Seven strategies at three budgets; the mixture and three widths at 45K; six seeds of random, else three.
    assert amounts.paper_hours(study) == pytest.approx(7 * 3 * 30 + 4 * 3 * 15 + 6 * (30 + 24))


@pytest.mark.parametrize(
    ("name", "weights"),
    [("x/Llama-2-7b-hf", 7e9), ("x/Qwen2.5-0.5B", 5e8), ("x/pythia-160m", 1.6e8), ("x/model", None)],
)
def test_a_models_size_is_in_its_name(name, weights) -> None:
    assert estimates.size_in_name(name) == weights


def test_what_is_missing_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("COHERE_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "there")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    needs = told(shipped("yu2024"), tmp_path, unset=["EDSEL_POOL"])
    states = {(need.what, need.text.split()[0]): need.state for need in needs}
    assert states["variable", "EDSEL_POOL"] is State.MISSING
    assert states["key", "COHERE_API_KEY"] is State.MISSING
    assert states["key", "OPENAI_API_KEY"] is State.HERE
    assert one(needs, "base model").state is State.UNKNOWN
    assert states["data set", "a/b"] is State.UNKNOWN
    assert states["data set", "c,"] is State.HERE
    assert states["task", "two"] is State.REPLACED
    assert states["task", "three"] is State.REPLACED
    assert one(needs, "pool").state is State.MISSING
    assert one(needs, "tokens").text.count("assumed") == 1


@pytest.mark.parametrize("name", shipped_studies())
def test_every_shipped_study_has_its_list_without_its_variables(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for variable in Study.unset_variables(name):
        monkeypatch.delenv(variable, raising=False)
    study, unset = load_with_gaps(name)
    needs = told(study, tmp_path, unset=unset)
    missing = [need.text for need in needs if need.state is State.MISSING and need.what == "variable"]
    assert [text.split()[0] for text in missing] == unset
    assert not [need.text for need in needs if "/unset/" in need.text]
    assert one(needs, "base model")


def test_a_model_is_in_its_folder_or_at_the_hub(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    def said(path: str) -> tuple[State, str]:
        need = one(told(tiny_study(model={"path": path}), tmp_path), "base model")
        return need.state, need.text

    assert said(str(tmp_path))[0] is State.HERE
    assert said("/unset/EDSEL_DATA/models/x") == (
        State.MISSING,
        "its place is in a variable that is not set",
    )
    for path in (f"{tmp_path}/absent", "models/of/mine", "mine"):
        state, text = said(path)
        assert state is State.MISSING
        assert text.startswith("there is no folder ")
    assert said("somebody/model")[0] is State.UNKNOWN


def test_answers_that_are_missing_cost_their_price(tmp_path) -> None:
    study = tiny_study(
        selection={"strategies": ["random", "k_center"], "budgets": [6], "budgets_of": {"random": [6, 20]}},
        annotation={"price": 2.5},
    )
    pool = PoolFacts(pa.table({"prompt": ["?"] * 100}), 40, 4.0, 4.0)
    needs = told(study, tmp_path, pool)
    assert one(needs, "answers").text.startswith("60 prompts have none")
    assert one(needs, "annotation").text == "at most 65, at 2.5 a prompt"  # 20 + 6 prompts at 2.5
    whole = PoolFacts(pa.table({"prompt": ["?"] * 100}), 100, 4.0, 4.0)
    assert not [need for need in told(study, tmp_path, whole) if need.what in ("answers", "annotation")]


def test_a_local_models_shape_is_read_from_its_files(tmp_path) -> None:
    from edsel_assets.demo import local_path

    study = tiny_study()
    shape = amounts.Shape.of(study)
    config = json.loads((local_path("builtin:demo", "model") / "config.json").read_text())
    assert shape is not None
    assert (shape.width, shape.layers, shape.source) == (
        config["hidden_size"],
        config["num_hidden_layers"],
        "its files",
    )
    assert not [need for need in told(study, tmp_path) if need.what == "GPUs"]


class Judge(Settings):
    """As the judge of a study's evaluation."""

    model: str | None = "gpt-4"
    kind: str = "preference"
    limit: int | None = 100
    max_new_tokens: int = 400
    reply_tokens: int = 50
    price_prompt: float = 0.01
    price_reply: float = 0.03
    max_cost: float | None = None


def test_a_judge_costs_its_requests() -> None:
    three = {"strategies": ["random"], "budgets": [6]}
    study = tiny_study(selection=three, finetuning={"random_seeds": 3})

    def text(**settings: Any) -> str:
        evaluation = study.evaluation.model_copy(update={"judge": Judge(**settings)})
        (need,) = judged(study.model_copy(update={"evaluation": evaluation}), LENGTHS)
        return need.text

    # Two of three trials are compared with the third, in both orders: 400 requests, each of two answers of
    # 400 tokens and a template of 200, and one token back: 0.01 + 0.00003.
    assert text().startswith("400 requests (3 trials, 100 instructions, 2 orders), up to 4.012 at")
    # 300 ratings of one answer: 0.006 + 0.0015.
    assert text(kind="rating").startswith(
        "300 requests (3 trials, 100 instructions, 1 orders), up to 2.25 at"
    )
    assert "max_cost" not in text(max_cost=4.1)
    assert text(max_cost=4).endswith("; the study stops at max_cost: 4")
    assert text(price_prompt=0, price_reply=0).endswith("the study names no price")
