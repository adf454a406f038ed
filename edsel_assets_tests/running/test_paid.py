"""What costs money: after all that does not, seed by seed; and what is left where it stops."""

from collections.abc import Sequence

import pytest

from edsel_assets.kinds.assets import Cells
from edsel_assets.planning.answers import Answers
from edsel_assets.planning.cells import Cell, Scope, cells_in
from edsel_assets.running.local import Listener, RunFailed, _Schedule
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.planning.fake_store import freshness_of

JUDGE = {"instructions": "instructions.jsonl", "model": "a judge", "budgets": [10]}


def study_of(**judge: object) -> Study:
    return tiny_study(
        selection={"strategies": ["random", "k_center", "min_margin"], "budgets": [6, 10]},
        finetuning={"seeds": 2, "random_seeds": 2},
        evaluation={"judge": JUDGE | judge},
    )


class Recorder:
    """Makes nothing, and fails at the cell of a number among those that cost money."""

    def __init__(self, slots: int, fails_at: int | None = None) -> None:
        self.slots, self.fails_at = slots, fails_at
        self.made: list[Cell] = []
        self.running: list[Sequence[Cell]] = []

    def start(self, batch: Sequence[Cell]) -> None:
        self.running.append(batch)

    def wait(self) -> tuple[Sequence[Cell], Sequence[Cell]]:
        batch = self.running.pop(0)
        if batch[0].asset == "win_rates":
            judged = sum(cell.asset == "win_rates" for cell in self.made)
            if self.fails_at == judged:
                raise RunFailed("the judge costs too much", batch)
        self.made += batch
        return batch, batch


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "lacking", lambda self, cell, parents: 0)


def run(study: Study, folder, pool: Recorder) -> None:
    freshness = freshness_of(study, folder)
    cells = cells_in(freshness.lineage, Scope())
    _Schedule(cells, freshness, pool, 1, Listener()).run(lambda: None)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_judge_is_asked_after_all_that_is_free_and_one_seed_of_each_strategy_first(slots, tmp_path) -> None:
    pool = Recorder(slots)
    run(study_of(), tmp_path, pool)
    names = [str(cell) for cell in pool.made if cell.asset == "win_rates"]
    reference = "win_rates[00010|random.s0]"  # a draw with itself, which costs nothing
    assert [name for name in names if name != reference] == [
        "win_rates[00010|k_center.s0]",
        "win_rates[00010|min_margin.s0]",
        "win_rates[00010|random.s1]",
        "win_rates[00010|k_center.s1]",
        "win_rates[00010|min_margin.s1]",
    ]
    first = pool.made.index(Cell("win_rates", "00010|k_center.s0"))
    assert [cell.asset for cell in pool.made[first:]] == ["win_rates"] * 5 + ["label_efficiency"]


@pytest.mark.parametrize("slots", [1, 3])
def test_a_stop_leaves_the_report_and_asks_for_nothing_more(slots, tmp_path) -> None:
    pool = Recorder(slots, fails_at=2)
    with pytest.raises(RunFailed, match="costs too much"):
        run(study_of(), tmp_path, pool)
    made = [cell.asset for cell in pool.made]
    assert made[-1] == "label_efficiency"
    assert made.count("benchmark_scores") == 12
    assert 2 <= made.count("win_rates") <= 2 + slots


def test_a_failure_of_what_is_free_ends_the_run_at_once(tmp_path) -> None:
    pool = Recorder(1, fails_at=0)
    with pytest.raises(RunFailed, match="costs too much"):
        run(study_of(by="local", template="{prompt}"), tmp_path, pool)
    assert "label_efficiency" not in {cell.asset for cell in pool.made}


def test_the_trials_that_a_judge_reads_are_those_of_its_budgets_and_the_reference() -> None:
    table = Cells(study_of(reference="6|random.s1"))
    expected = {f"00010|{s}.s{seed}" for s in ("random", "k_center", "min_margin") for seed in (0, 1)}
    for asset in ("win_rates", "generations"):
        assert set(table.keys(asset)) == {*expected, "00006|random.s1"}
    assert ("win_rates", "00006|k_center.s0") not in set(table.read("label_efficiency", None))
    with pytest.raises(ValueError, match=r"evaluation.judge.budgets names \[7\]; budgets are \[6, 10\]"):
        study_of(budgets=[7])
