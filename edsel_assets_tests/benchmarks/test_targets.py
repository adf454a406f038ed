"""The evidence on targets: its draws keep apart what has to be, and its tables say what the losses say."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from benchmarks.evidence.targets.design import AIMED, ALL, RANDOM, Data, Design, Target, budgets_inside
from benchmarks.evidence.targets.finish import finish
from benchmarks.evidence.targets.picks import PICKS, picks
from benchmarks.evidence.targets.trials import BASE, complete, trial_file
from edsel_assets.store import read_table, write_table

SMALL = Design(
    targets={"a": Target(("a",), 8), "b": Target(("b",), 8)},
    seeds=(1, 2, 3),
    curve=(5, 10, 20, 40),
    budgets=(5, 10),
    queries=6,
    rest=16,
    others=("b", "a"),
)


@pytest.fixture(scope="module")
def data() -> Data:
    """240 prompts of eight tasks, embedded near their task's centre."""
    rng = np.random.default_rng(0)
    tasks = np.repeat(list("abcdefgh"), 30)
    frame = pd.DataFrame(
        {
            "prompt_id": [f"p{i:03}" for i in range(240)],
            "task": tasks,
            "prompt": [f"prompt {i}" for i in range(240)],
            "response": [f"answer {i}" for i in range(240)],
        }
    )
    centres = np.repeat(3 * rng.normal(size=(8, 12)), 30, axis=0)
    return Data(SMALL, frame, (centres + rng.normal(size=(240, 12))).astype(np.float32))


def test_nothing_that_is_scored_or_asks_can_be_chosen(data: Data) -> None:
    drawn = [data.queries(seed)["a"].tolist() for seed in SMALL.seeds]
    assert len({tuple(each) for each in drawn}) == 3, "queries are drawn anew for each seed"
    for seed in SMALL.seeds:
        pool, queries = data.pool(seed), np.concatenate(list(data.queries(seed).values()))
        assert not set(pool) & set(data.items)
        assert not set(pool) & set(queries)
        assert not set(queries) & set(data.items)
    for target in SMALL.targets:
        assert data.members(target)[data.held_out[target]].all()
        assert not data.members(target)[data.rest(target)].any()


def test_every_strategy_gives_its_picks_and_the_oracle_those_of_the_target(data: Data) -> None:
    own = np.random.default_rng(1).normal(size=(240, 6)).astype(np.float32)
    chosen = picks(data, own, 1).to_pandas()
    pool = set(data.pool(1))
    for (target, strategy), rows in chosen.groupby(["target", "strategy"]):
        assert len(set(rows["row"])) == len(rows) == (40 if strategy == RANDOM else 10)
        assert set(rows["row"]) <= pool
        if strategy == "inside":
            assert data.members(target)[rows["row"]].all()
    aimed = chosen[chosen["strategy"] == AIMED]
    assert all(data.members(t)[rows["row"]].mean() > 0.5 for t, rows in aimed.groupby("target"))


def write_trials(data: Data, state: Path) -> None:
    """Losses that fall with the logarithm of the answers; an aimed answer is worth four on its target."""
    tokens = np.random.default_rng(5).integers(1, 20, len(data.items))
    ease = np.random.default_rng(6).normal(0, 0.3, len(data.items))

    def losses(budget: float, seed: int) -> np.ndarray:
        noise = np.random.default_rng([seed, int(1000 * budget)]).normal(0, 0.02)
        return tokens * (5 - 0.5 * np.log(budget) + ease + noise)

    def write(place: Path, nll: np.ndarray, rows: np.ndarray) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        kept = np.searchsorted(data.items, rows)
        frame = {"item": kept.astype(np.int32), "nll": nll[kept].astype(np.float32), "tokens": tokens[kept]}
        write_table(place, table_of(frame))

    write(state / f"{BASE}.parquet", losses(1, 0), data.items)
    for trial in (trial for seed in SMALL.seeds for trial in SMALL.trials(seed)):
        gain = 1 if trial.target == ALL else np.where(data.members(trial.target)[data.items], 4, 0.5)
        nll = losses(trial.budget, trial.seed) - 0.5 * np.log(gain) * tokens
        write(trial_file(state, trial), nll, data.scored(trial))
    for seed in SMALL.seeds:
        (state / "picks").mkdir(exist_ok=True)
        rows = [
            {
                "seed": seed,
                "target": t.target,
                "strategy": t.strategy,
                "rank": rank,
                "row": int(data.pool(seed)[rank]),
            }
            for t in SMALL.trials(seed)
            if t.budget == 10
            for rank in range(10)
        ]
        write_table(state / "picks" / f"{seed}.parquet", table_of(rows))


def table_of(rows: Any) -> pa.Table:
    return pa.table(rows) if isinstance(rows, dict) else pa.Table.from_pylist(rows, schema=PICKS)


def test_the_tables_say_what_the_losses_say(data: Data, tmp_path: Path) -> None:
    state, out = tmp_path / "state", tmp_path / "out"
    out.mkdir()
    write_trials(data, state)
    assert budgets_inside(data, "a", SMALL.seeds) == [5, 10]
    last = trial_file(state, SMALL.trials(3)[-1])
    kept = last.read_bytes()
    last.unlink()
    assert complete(data, state) == [1, 2], "a seed that is cut short is left out"
    last.write_bytes(kept)
    finish(data, state, out)
    rows = pd.read_csv(out / "results.csv").set_index(["target", "strategy", "budget"])
    losses, items = (read_table(out / f"{name}.parquet").to_pandas() for name in ("losses", "items"))
    joined = losses.merge(items, on="item")
    for target, other in (("a", "b"), ("b", "a")):
        for strategy, of in ((AIMED, target), ("other_target", other), (RANDOM, ALL)):
            for column, name in ((target, "loss"), (f"{target}_rest", "rest_loss")):
                mine = joined[
                    (joined["strategy"] == (AIMED if strategy != RANDOM else RANDOM)) & joined[column]
                ]
                mine = mine[(mine["target"] == of) & (mine["budget"] == 5)]
                sums = mine.groupby("seed")[["nll", "tokens"]].sum()
                assert rows.loc[(target, strategy, 5), name] == pytest.approx(
                    (sums["nll"] / sums["tokens"]).mean(), rel=1e-4
                )
        assert rows.loc[(target, AIMED, 5), "needed"] == pytest.approx(20, rel=0.2)
        assert rows.loc[(target, AIMED, 5), "saves"]
        assert rows.loc[(target, "other_target", 5), "difference"] == pytest.approx(0.5 * np.log(2), abs=0.1)
        assert rows.loc[(target, AIMED, 5), "rest_difference"] == pytest.approx(0.5 * np.log(2), abs=0.1)
    page = (out / "results.md").read_text(encoding="utf-8")
    assert "3 of 3 seeds." in page
    assert (out / "saved.png").stat().st_size > 1000
