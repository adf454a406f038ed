"""What the report says of cells that are stale or missing."""

from pathlib import Path

from edsel_assets.defs.assets.report import _unfinished
from edsel_assets.defs.build import build_definitions
from edsel_assets.defs.graph import Graph
from edsel_assets.store import Home
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.planning.fake_store import fill
from edsel_assets_tests.planning.test_freshness import changed


def test_trials_of_a_stale_ranking_are_stale_as_well(tmp_path: Path) -> None:
    study = tiny_study()
    fill(study, tmp_path)
    later = changed(study, "selection.gamma", 0.2)
    missing, stale = _unfinished(Graph(later, Home.at(tmp_path), build_definitions(later, home=tmp_path)))
    assert missing == []
    found = {row["asset"]: row for row in stale}
    assert len(found) == len(stale), "one row for each asset"
    assert found["rankings"] == {"asset": "rankings", "cells": 1, "why": "selection.gamma 0.5 -> 0.2"}
    assert found["benchmark_scores"]["cells"] == 2  # two budgets of one seed
    assert found["benchmark_scores"]["why"] == "what it is made from is stale or missing"
    assert "label_efficiency" not in found
