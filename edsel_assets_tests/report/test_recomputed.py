"""What a report says, computed again from the Parquet files of the scores by independent lines."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import benchmarks.evidence
from edsel_assets.defs.build import build_definitions
from edsel_assets.planning.cells import Scope
from edsel_assets.running.instance import open_instance
from edsel_assets.running.local import materialize
from edsel_assets.store import Home, Store
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.report.recomputed import bootstrap_errors, check, items_of, shown_numbers

EVIDENCE = Path(benchmarks.evidence.__file__).parent


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A small study with a control of four budgets, run to its report."""
    home = tmp_path_factory.mktemp("recomputed")
    study = tiny_study(
        selection={
            "strategies": ["random", "k_center"],
            "budgets": [6, 12],
            "budgets_of": {"random": [3, 6, 12, 24]},
        },
        finetuning={"seeds": 2, "random_seeds": 2, "learning_rate": 0.01},
        evaluation={
            "tasks": [{"name": name, "limit": 20} for name in ("edsel_demo_choice", "edsel_demo_generate")],
            "held_out": 16,
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        with open_instance(Home.at(home), study.name) as instance:
            scope = Scope(assets=frozenset({"label_efficiency"}))
            materialize(study, build_definitions(study, home=home), instance, Home.at(home), scope)
    return Home.at(home).store(study.name)


def test_a_reports_figures_come_from_its_scores(store: Store) -> None:
    table = pq.read_table(store.folder / "label_efficiency.parquet").to_pandas()
    assert check(items_of(store.folder), table) > 80
    shown_numbers(store.folder)


def test_a_wrong_figure_is_found(store: Store) -> None:
    table = pq.read_table(store.folder / "label_efficiency.parquet").to_pandas()
    wrong = table.assign(mean=table["mean"] * 1.001)
    with pytest.raises(AssertionError):
        check(items_of(store.folder), wrong)


@pytest.fixture(scope="module")
def evidence() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores by item and the table of the evidence that is kept beside its benchmark."""
    items = pq.read_table(EVIDENCE / "items.parquet").to_pandas().astype({"strategy": str})
    long = items.melt(
        id_vars=["strategy", "budget", "seed", "item"],
        value_vars=["nll", "tokens"],
        var_name="metric",
    )
    return long.assign(task="held_out"), pd.read_csv(EVIDENCE / "results.csv")


def test_the_evidence_holds(evidence) -> None:
    items, table = evidence
    assert check(items, table) > 200


def test_its_standard_errors_are_those_of_a_plain_bootstrap(evidence) -> None:
    """Of single cells they differ, as the report steadies five seeds' variance by the table's."""
    items, table = evidence
    plain = bootstrap_errors(items, "random")
    held = table[table["task"] == "held_out"].set_index(["strategy", "budget"])["difference_se"]
    reported = held.loc[list(plain.index)].to_numpy()
    assert 0.8 < np.median(reported / plain.to_numpy()) < 1.25


@pytest.mark.slow
@pytest.mark.skipif("EDSEL_STORES" not in os.environ, reason="EDSEL_STORES names no store")
def test_the_figures_of_given_stores() -> None:
    """EDSEL_STORES: folders of studies that have run, such as .edsel/store/demo, separated by a colon."""
    for folder in map(Path, os.environ["EDSEL_STORES"].split(":")):
        table = pq.read_table(folder / "label_efficiency.parquet").to_pandas()
        print(f"{folder.name}: {check(items_of(folder), table)} figures are the same")
        shown_numbers(folder)
