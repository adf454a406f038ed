"""What ``edsel plan`` says of a study's design."""

import pandas as pd
import pyarrow as pa
import pytest

from edsel_assets.cli.power import power_lines, wide_budgets
from edsel_assets.planning.cells import Cell
from edsel_assets.store import Home, write_table
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.report.statistics.test_power import table


def study(**changes):
    selection = {"strategies": ["random", "k_center"], "budgets": [6], "budgets_of": {"random": [3, 6, 24]}}
    return tiny_study(selection=selection, finetuning={"seeds": 3, "random_seeds": 6}, **changes)


def test_budgets_of_the_control_that_are_far_apart_are_named():
    (said,) = wide_budgets(study())
    assert "random's budgets 6 and 24 are too far apart" in said
    assert said.endswith("Add 12 to selection.budgets_of.random.")


def test_power_by_a_stated_spread(tmp_path):
    first, line = power_lines(study(), Home.at(tmp_path).store("tiny"), 0.2)
    assert "By the stated spread" in first
    assert line.startswith("at 6 prompts: 3 seeds (random 6) see a saving of 31%; for 10%: 23 (random 46)")
    _, far = power_lines(study(), Home.at(tmp_path).store("tiny"), 2.0)
    assert "random goes to 24 alone: it needs a budget of" in far
    assert "for 10%: no number of seeds does" in far


def test_power_by_the_last_report(tmp_path):
    store = Home.at(tmp_path).store("tiny")
    with pytest.raises(ValueError, match=r"no report with a comparison .* such as --spread 0\.3"):
        list(power_lines(study(), store, None))
    frame = pd.concat([table().assign(task="held_out")]).replace({"budget": {100: 6, 400: 24}})
    write_table(store.table(Cell("label_efficiency")), pa.Table.from_pandas(frame, preserve_index=False))
    first, line = power_lines(study(), store, None)
    assert "By the last report" in first
    assert "of the variance is of items" in line
