"""A made-up kind, added in one place, is in the graph, in plan, in staleness, preflight and rehearsal."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from edsel_assets.defs.build import build_definitions
from edsel_assets.kinds import KINDS, dimensions, external_of, libraries_of, settings_of
from edsel_assets.kinds.checks import FINITE, TEXTS
from edsel_assets.kinds.kind import Kind, Parent, device
from edsel_assets.kinds.work import Lengths, Work
from edsel_assets.planning import preflight
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.planning.plan import plan
from edsel_assets.planning.reasons import Reason, What
from edsel_assets.rehearsal import amounts
from edsel_assets.running.instance import open_instance
from edsel_assets.running.local import materialize
from edsel_assets.store import Home
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.planning.fake_store import fill, freshness_of

MADE_UP = Kind(
    name="made_up",
    group="diagnostics",
    dimensions=(dimensions.MEASURE,),
    parents=(Parent("pool", columns=("prompt_id", "prompt")), Parent("uncertainty_scores")),
    settings=("selection.seed",),
    libraries=("numpy",),
    code="7",
    checks=(FINITE,),
    device=device,
    before=("finetuning",),
    work=lambda study, lengths, at: Work(1000.0),
    make="edsel_assets_tests.kinds.made_up:lengths",
    summary="Uncertainty for each character of a prompt.",
)
CELL = Cell("made_up", "min_margin")


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "made_up", MADE_UP)


def test_it_is_in_the_graph_with_all_that_its_row_says(tmp_path: Path) -> None:
    graph: Any = build_definitions(tiny_study(), home=tmp_path).resolve_asset_graph()
    node = graph.get(dg.AssetKey("made_up"))
    assert (node.group_name, node.description) == ("diagnostics", MADE_UP.summary)
    assert node.code_version.startswith("7-")
    assert node.pools
    (check,) = node.assets_def.check_specs
    assert (check.name, check.description) == (FINITE, TEXTS[FINITE])
    found = graph.get_parents_partitions(node.key, "min_margin").parent_partitions
    assert {(p.asset_key.to_user_string(), p.partition_key) for p in found} == {
        ("pool", None),
        ("uncertainty_scores", "min_margin"),
    }


def test_it_is_planned_and_stale_by_what_its_row_names(tmp_path: Path) -> None:
    study = tiny_study()
    fill(study, tmp_path)
    assert not plan(freshness_of(study, tmp_path)).steps
    other = study.selection.model_copy(update={"seed": 5})
    steps = plan(freshness_of(study.model_copy(update={"selection": other}), tmp_path)).certain
    (step,) = (step for step in steps if step.cell == CELL)
    assert step.reasons == (Reason(What.ENTRY, "selection.seed", 0, 5),)


def test_it_is_checked_before_and_counted_in_estimates_and_rehearsal(tmp_path: Path) -> None:
    study = tiny_study(finetuning={"max_length": 4})
    assert any("max_length" in text for text in preflight.problems(study, Home.at(tmp_path), {"made_up"}))
    assert not list(preflight.problems(study, Home.at(tmp_path), {"uncertainty_scores"}))
    lengths = Lengths(10, 5.0, 5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(KINDS, "made_up")
        without = amounts.read_tokens(study, lengths)
    assert amounts.read_tokens(study, lengths) == without + 4 * 1000  # four measures


def test_it_is_made_by_its_function_and_reads_the_columns_that_it_names(tmp_path: Path) -> None:
    study = tiny_study()
    with open_instance(Home.at(tmp_path), study.name) as instance:
        definitions = build_definitions(study, home=tmp_path)
        materialize(study, definitions, instance, Home.at(tmp_path), Scope(assets=frozenset({"made_up"})))
    freshness = freshness_of(study, tmp_path)
    table = pq.read_table(tmp_path / "store" / study.name / "made_up" / "min_margin.parquet")
    ledger = freshness.ledger(CELL)
    assert ledger is not None
    assert (table.num_rows, ledger.code, sorted(ledger.libraries)) == (ledger.rows, "7", ["numpy"])
    assert set(ledger.inputs["pool"].columns or {}) == {"prompt_id", "prompt"}
    assert set(ledger.inputs) == {"pool", "uncertainty_scores[min_margin]"}
    assert freshness.verdict(CELL).why == ""


@pytest.mark.parametrize("name", list(KINDS))
def test_every_row_names_what_there_is(name: str) -> None:
    """Settings, sources, checks and parents of a row exist, in a study that has the kind or not."""
    row = KINDS[name]
    study = tiny_study(
        other_embeddings={"whole": {"source": "model"}},
        evaluation={"judge": {"instructions": "x.jsonl", "model": "a judge"}},
    )
    assert all(isinstance(key, str) for key in settings_of(study, name))
    assert "absent" not in libraries_of(study, name).values()
    assert all(isinstance(source, str) for source in external_of(study, name))
    assert set(row.checks) <= set(TEXTS)
    assert set(row.before) <= set(preflight.CHECKS)
    assert {parent.kind for parent in row.parents} <= set(KINDS)
    assert [d.name for d in row.dimensions] == sorted(d.name for d in row.dimensions)
