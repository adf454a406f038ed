"""What the planner lists, in which order, with which words and times."""

import os
from pathlib import Path

import pytest

from edsel_assets.planning.answers import Answers
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.planning.external import External
from edsel_assets.planning.freshness import State
from edsel_assets.planning.plan import plan
from edsel_assets.planning.reasons import Reason, What, differences
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.planning.fake_store import change_ledger, fill, freshness_of, put
from edsel_assets_tests.planning.test_freshness import changed


@pytest.fixture
def study() -> Study:
    return tiny_study()


def test_an_empty_store_has_everything_to_make_parents_first(study, tmp_path) -> None:
    found = plan(freshness_of(study, tmp_path))
    lineage = freshness_of(study, tmp_path).lineage
    assert not found.fresh
    assert {step.why for step in found.steps} == {"never made"}
    place = {step.cell: number for number, step in enumerate(found.steps)}
    unread = {Cell("uncertainty_scores", m) for m in ("mean_entropy", "least_confidence", "mean_margin")}
    assert set(place) == {cell for node in lineage.nodes.values() for cell in node.cells()} - unread
    for cell in place:
        assert all(place[parent] < place[cell] for parent in lineage.parents(cell))


def test_planning_writes_nothing(study, tmp_path) -> None:
    fill(study, tmp_path)
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if "external_files" not in p.name)
    plan(freshness_of(changed(study, "selection.gamma", 0.2), tmp_path))
    after = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if "external_files" not in p.name)
    assert before == after


def test_a_home_that_cannot_be_written_is_planned_the_same(tmp_path, monkeypatch) -> None:
    pool = tmp_path / "p.jsonl"
    pool.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    os.utime(pool, (1e9, 1e9))  # long ago, so that its hash is worth keeping
    home = tmp_path / "home"
    home.mkdir()

    def planned() -> tuple[dict[str, str], list[str]]:
        hashes = External(tiny_study(pool={"path": str(pool)}), Home.at(home)).of("pool")
        return hashes, sorted(path.name for path in home.glob("*.json"))

    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda path, mode: False)
        found, files = planned()
    assert (len(found), files) == (1, [])
    assert planned() == (found, ["external_files.json"])


def test_what_is_below_a_stale_cell_is_made_perhaps(study, tmp_path) -> None:
    fill(study, tmp_path)
    found = plan(freshness_of(changed(study, "selection.gamma", 0.2), tmp_path))
    why = (Reason(What.ENTRY, "selection.gamma", 0.5, 0.2),)
    assert [(str(s.cell), s.reasons) for s in found.certain] == [
        ("kernel_width", why),
        ("rankings[fl_rbf_min_margin]", why),
    ]
    below = {str(step.cell) for step in found.possible}
    assert {"selections[00006|fl_rbf_min_margin]", "lora_adapters[00010|fl_rbf_min_margin.s0]"} <= below
    assert "label_efficiency" in below
    assert not any("k_center" in name for name in below)
    first = next(step for step in found.possible if step.cell.asset == "selections")
    assert first.why == "rankings[fl_rbf_min_margin] is made again"


def test_prompts_that_joined_or_left_are_counted(study, tmp_path) -> None:
    lineage = fill(study, tmp_path)
    for rows, words in ((103, "3 prompts joined the pool"), (99, "1 prompt left the pool")):
        put(study, tmp_path, lineage, Cell("pool"), f"pool of {rows}", {})
        change_ledger(Home.at(tmp_path).store(study.name), Cell("pool"), rows=rows)
        assert freshness_of(study, tmp_path).verdict(Cell("embeddings")).why == words


def test_a_missing_parent_does_not_make_its_child_certain(study, tmp_path) -> None:
    fill(study, tmp_path)
    store = Home.at(tmp_path).store(study.name)
    store.delete(store.ledger(Cell("rankings", "kmq")))
    found = {str(step.cell): step for step in plan(freshness_of(study, tmp_path)).steps}
    assert found["rankings[kmq]"].certain
    assert not found["selections[00006|kmq]"].certain


def test_a_fresh_cell_behind_one_that_waits_for_answers_waits_with_its_reason(
    study, tmp_path, monkeypatch
) -> None:
    fill(study, tmp_path)
    waiting = Cell("training_sets", "00006|kmq")
    Home.at(tmp_path).store(study.name).table(waiting).unlink()
    monkeypatch.setattr(Answers, "lacking", lambda self, cell, parents: 2 if cell == waiting else 0)
    steps = {str(step.cell): step for step in plan(freshness_of(study, tmp_path)).waiting}
    assert steps[str(waiting)].lacking == 2
    behind = steps["lora_adapters[00006|kmq.s0]"]
    assert behind.why == "training_sets[00006|kmq] waits for answers"
    assert (behind.certain, behind.lacking) == (False, 0)


def test_times_come_from_the_cells_last_time_and_else_from_its_kind(study, tmp_path) -> None:
    fill(study, tmp_path)
    root = Home.at(tmp_path).store(study.name)
    for strategy, seconds in (("random", 3.0), ("kmq", 5.0)):
        change_ledger(root, Cell("rankings", strategy), seconds=seconds)
    for strategy in ("k_center", "min_margin", "fl_rbf_min_margin"):
        root.path(root.ledger(Cell("rankings", strategy))).unlink()
    damaged = root.folder / "rankings" / "random.parquet"
    damaged.unlink()
    times = {str(step.cell): step.seconds for step in plan(freshness_of(study, tmp_path)).steps}
    assert times["rankings[random]"] == 3.0
    assert times["rankings[k_center]"] == 4.0


def test_a_scope_plans_what_is_asked_for_and_what_it_needs(study, tmp_path) -> None:
    scope = Scope(assets=frozenset({"selections"}), strategies=frozenset({"random"}), budgets=frozenset({6}))
    found = [str(step.cell) for step in plan(freshness_of(study, tmp_path), scope).steps]
    needed = ["annotations", "orders", "pool", "purchases", "rankings[random]", "selections[00006|random]"]
    assert sorted(found) == needed


def test_what_nothing_of_the_study_reads_is_left_out_and_said_and_made_by_name(tmp_path) -> None:
    study = tiny_study(selection={"strategies": ["random", "k_center"]})
    freshness = freshness_of(study, tmp_path)
    left_out = {
        "cluster_count",
        "cluster_quality",
        "kernel_width",
        "quality_scores",
        "token_probabilities",
        "uncertainty_scores",
    }
    found = plan(freshness)
    assert found.unread == tuple(sorted(left_out))
    assert not left_out & {step.cell.asset for step in found.steps}
    assert Cell("clusters", "00006") not in {step.cell for step in found.steps}
    named = plan(freshness, Scope(assets=frozenset({"cluster_quality"})))
    assert left_out - {step.cell.asset for step in named.steps} == {
        "cluster_count",
        "kernel_width",
        "uncertainty_scores",
    }
    assert not named.unread


def test_an_outside_file_that_is_not_there_is_said(study, tmp_path: Path) -> None:
    fill(study, tmp_path)
    gone = changed(study, "pool.path", str(tmp_path / "gone.jsonl"))
    verdict = freshness_of(gone, tmp_path).verdict(Cell("pool"))
    assert verdict.state is State.STALE
    assert "gone.jsonl" in verdict.why


def test_differences_are_said_in_words() -> None:
    before = {"a": 1, "b": [1, 2], "gone": None, "long": "x" * 99}
    after = {"a": 1, "b": (1, 3), "new": True, "long": "y" * 99}
    assert [*map(str, differences(What.ENTRY, before, after))] == [
        "b [1, 2] -> [1, 3]",
        "gone: none is not asked any more",
        f"long {'x' * 59}… -> {'y' * 59}…",
        "new: True was not asked before",
    ]
