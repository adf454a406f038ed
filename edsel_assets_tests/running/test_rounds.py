"""Three rounds with each scorer, through the graph, and a chain of rounds whose last model is scored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from edsel_assets.defs.build import build_definitions
from edsel_assets.demo import DEMO, model_folder
from edsel_assets.llm import adapted, finetune, load_model
from edsel_assets.planning.cells import Scope
from edsel_assets.running.instance import open_instance
from edsel_assets.running.local import materialize
from edsel_assets.stages.rounds import round_options
from edsel_assets.stages.training_sets import examples_of
from edsel_assets.stages.trials import finetune_settings
from edsel_assets.store import Home, Store
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.llm.judging.server import completion, serving
from edsel_assets_tests.stages.scoring.models import reward_folder

SCORERS = ["perplexity", "reward", "judge"]


def rating(body: dict[str, Any]) -> str:
    """Long answers are better, to this judge."""
    response = body["messages"][-1]["content"].rpartition("[[Response]] ")[2]
    return completion(f"Rating: [[{min(10, 1 + len(response) // 8)}]]")


def make(study: Study, home: Path, asset: str) -> Store:
    """Make an asset's cells and what they need; the study's store."""
    with open_instance(Home.at(home), study.name) as instance:
        definitions = build_definitions(study, home=home)
        materialize(study, definitions, instance, Home.at(home), Scope(frozenset({asset})))
    return Home.at(home).store(study.name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Study, Path, int]]:
    home = tmp_path_factory.mktemp("home")
    reward = reward_folder(home / "reward")
    with pytest.MonkeyPatch.context() as patch, serving(rating) as server:
        patch.setenv("NO_PROXY", "127.0.0.1")
        judge = {"model": "judge", "base_url": server.url}
        study = tiny_study(
            selection={"strategies": [f"iterative_kmq_{s}" for s in SCORERS], "budgets": [9]},
            evaluation={"tasks": [], "held_out": 8},
            rounds={"rounds": 3, "reward": {"model": str(reward)}, "judge": judge, "collapse": 0.99},
        )
        make(study, home, "iterative_selections")
        yield study, home, len(server.asked)


def cell(home: Path, study: Study, asset: str, scorer: str) -> dict[str, list[Any]]:
    path = home / "store" / study.name / asset / "00009" / f"iterative_kmq_{scorer}.s0.parquet"
    return pq.read_table(path).to_pydict()


def test_each_scorer_chooses_in_three_rounds_and_moves_the_weights(finished) -> None:
    study, home, asked = finished
    for scorer in SCORERS:
        picks = cell(home, study, "iterative_selections", scorer)["prompt_id"]
        assert len(set(picks)) == len(picks) == 9
        for number in (1, 2):
            table = cell(home, study, f"round_{number}/weights", scorer)
            assert sum(table["weight"]) == pytest.approx(1.0)
            history = np.array(table["history"])
            assert history.shape == (4, number + 1)
            np.testing.assert_allclose(history[:, 0], 0.25)
            np.testing.assert_allclose(history[:, -1], table["weight"])
        before = cell(home, study, "round_1/weights", scorer)["history"]
        after = cell(home, study, "round_2/weights", scorer)["history"]
        assert [row[:2] for row in after] == before
    weights = [tuple(cell(home, study, "round_2/weights", scorer)["weight"]) for scorer in SCORERS]
    assert len(set(weights)) == 3
    assert asked > 0


def test_the_first_round_is_the_same_whatever_scores_it(finished) -> None:
    study, home, _ = finished
    first = {tuple(cell(home, study, "round_1/selection", scorer)["prompt_id"]) for scorer in SCORERS}
    assert len(first) == 1


def test_a_check_says_whether_the_weights_collapsed(finished) -> None:
    study, home, _ = finished
    with open_instance(Home.at(home), study.name) as instance:
        for number in (1, 2):
            key = dg.AssetCheckKey(dg.AssetKey([f"round_{number}", "weights"]), "weights_spread")
            found = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
            assert len(found) == 3
            for record in found:
                said = record.event.dagster_event.asset_check_evaluation_data
                evenness = said.metadata["evenness"].value
                assert said.passed == (evenness >= 0.99)
                words = f"{evenness:.2f} of that of equal weights"
                assert said.passed or words in said.description


def test_nothing_is_left_to_make_and_nobody_is_asked_again(finished) -> None:
    study, home, _ = finished
    # The judge's server is gone by now for whoever would ask it.
    lost = study.rounds.judge.model_copy(update={"timeout": 0.1, "attempts": 1})
    same = study.model_copy(update={"rounds": study.rounds.model_copy(update={"judge": lost})})
    make(same, home, "iterative_selections")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_model_scored_is_the_last_of_the_chain(tmp_path: Path, method: str) -> None:
    study = tiny_study(
        selection={"strategies": ["random", "iterative_kmq_perplexity"], "budgets": [9]},
        finetuning={"method": method, "learning_rate": 1e-2},
        evaluation={"tasks": [], "held_out": 8},
        rounds={"rounds": 3, "start": "continue"},
    )
    store = make(study, tmp_path, "lora_adapters")
    trial = Path("00009") / "iterative_kmq_perplexity.s0"
    base, tokenizer = load_model(model_folder(DEMO), dtype="auto", device="cpu")
    model = base
    chain = [store.folder / f"round_{number}" / "checkpoint" / trial for number in (1, 2)]
    for path in chain:
        with adapted(model, path, merge=True) as merged:
            model = merged
    examples = examples_of(
        pq.read_table(store.folder / "training_sets" / "00009" / "iterative_kmq_perplexity.parquet"),
        study.model.template,
    )
    settings = finetune_settings(study.finetuning, epochs=study.rounds.epochs)
    seed = round_options(study, "iterative_kmq_perplexity", 0).seed + 3
    finetune(model, tokenizer, examples, settings, seed=seed, output_dir=tmp_path / "last")
    ids = torch.tensor([tokenizer(examples[0].prompt)["input_ids"]])
    with torch.inference_mode():
        start = base(ids).logits
        with adapted(model, tmp_path / "last", merge=True) as last:
            expected = last(ids).logits
        with adapted(base, store.folder / "lora_adapters" / trial, merge=True) as found:
            torch.testing.assert_close(found(ids).logits, expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(start, expected, atol=1e-2)
    assert not list((store.folder / "lora_adapters" / "00009").glob(".*"))
    assert (store.folder / "lora_adapters" / trial / "training_log.json").is_file()
