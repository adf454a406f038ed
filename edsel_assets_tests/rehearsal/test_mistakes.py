"""What cannot work is found before anything runs, all of it at once."""

import pyarrow as pa
import pytest

from edsel_assets.rehearsal.mistakes import mistakes
from edsel_assets.rehearsal.pool import PoolFacts
from edsel_assets.rehearsal.sizes import Size
from edsel_assets.rehearsal.stand_ins import CannotWork, set_up
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.rehearsal.test_scaled import shipped


def facts(prompts: int, answered: int) -> PoolFacts:
    return PoolFacts(pa.table({"prompt": ["?"] * prompts}), answered, 4.0, 4.0)


@pytest.mark.parametrize("name", ["bhatt2024", "yu2024"])
def test_the_papers_studies_have_none(name) -> None:
    assert mistakes(shipped(name), facts(196_000, 196_000)) == []


def test_every_mistake_is_told() -> None:
    tasks = [
        {"name": "edsel_demo_choice", "metric": "exactmatch"},
        {"name": "edsel_demo_generate", "metric": "exact_match,get-answer"},
        {"name": "edsel_demo_choise"},
    ]
    study = tiny_study(
        evaluation={"tasks": tasks, "include_path": "builtin:demo", "held_out": 50},
        finetuning={"warmup": 1000, "epochs": 1, "batch_size": 4, "processes": 2},
        clustering={"counts": [4, 400]},
    )
    told = mistakes(study, facts(60, 40))
    for words in (
        "finetuning.processes: 2",
        "finetuning.warmup: 1000 steps are not shorter than the",
        "Task edsel_demo_choice has the metrics acc; exactmatch is not one",
        "exact_match,get-answer is not one",
        "no task 'edsel_demo_choise'",
        "evaluation.held_out: 50 of 40 answered prompts",
        "clustering.counts: 400 exceeds the 10 prompts",
    ):
        assert any(words in text for text in told), (words, told)


def test_a_warm_up_is_shorter_than_a_first_round_too() -> None:
    # 10 prompts in batches of 2 are 5 steps; a first round of 5 prompts is 3.
    tuning = {"epochs": 1, "batch_size": 2}
    sizes = {"strategies": ["random", "iterative_kmq_perplexity"], "budgets": [10]}

    def warned(warmup: int, strategies: list[str]) -> list[str]:
        selection = {**sizes, "strategies": strategies}
        study = tiny_study(selection=selection, finetuning={**tuning, "warmup": warmup})
        return [text for text in mistakes(study, None) if "finetuning.warmup" in text]

    assert warned(4, ["random"]) == []
    assert "the 5 of a trial of random at 10" in warned(5, ["random"])[0]
    assert warned(2, sizes["strategies"]) == []
    assert "the 3 of the first round of iterative_kmq_perplexity at 10" in warned(3, sizes["strategies"])[0]


def test_a_study_with_mistakes_is_not_rehearsed(tmp_path) -> None:
    study = tiny_study(
        evaluation={
            "tasks": [{"name": "edsel_demo_choice", "metric": "accuracy"}],
            "include_path": "builtin:demo",
        }
    )
    with pytest.raises(CannotWork, match=r"\(1\) evaluation.tasks: Task edsel_demo_choice has"):
        set_up(study, tmp_path / "home", Size(), None, None)
    assert not (tmp_path / "home").exists()


def test_another_folder_is_not_emptied(tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no rehearsal"):
        set_up(tiny_study(), tmp_path, Size(), None, None)
    assert (tmp_path / "mine.txt").exists()
