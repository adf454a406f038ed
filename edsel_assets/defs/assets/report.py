"""Group ``report``: what each strategy saves against the control."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import StoredTable, Table, TableWithFiles, table_of
from edsel_assets.defs.metadata import plot, rows_table, versioned_output
from edsel_assets.planning.cells import Cell
from edsel_assets.running.ui.pages import REPORTS

if TYPE_CHECKING:
    from edsel_assets.report.sheets import Sheet

#: The kinds of sheets that the UI shows, in order, and columns for which a page has no room.
_LEFT_OUT = {
    "target": {"interval there"},
    "scores": {"seeds"},
    "saved": {"95 % interval", "share"},
    "saved_cost": {"95 % interval", "share"},
}
_INPUT = "what it is made from is stale or missing"


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study

    @graph.asset("label_efficiency")
    def label_efficiency(
        context: dg.AssetExecutionContext,
        base_scores: Any,
        benchmark_scores: dict[str, Any],
        orders: Table,
        purchases: Table,
        held_out_weights: dict[str, Any] | None,
        pool: StoredTable,
        training_sets: dict[str, StoredTable],
        **win_rates: dict[str, Any],
    ) -> dg.Output:
        """Scores by strategy and budget, and the annotation each strategy saves against the control.

        Of the trials there are: those missing or stale are listed in the report.
        """
        from edsel_assets.desk.spending import spend_by_order
        from edsel_assets.stages.evaluation.items import item_values
        from edsel_assets.stages.summary import Scores, summarise
        from edsel_assets.stages.training_sets import trial_costs

        def scores(value: Any) -> Scores:
            return Scores(table_of(value), item_values(getattr(value, "items", None)))

        missing, stale = _unfinished(graph)
        report = summarise(
            study,
            scores(base_scores),
            {key: scores(value) for key, value in benchmark_scores.items()},
            {key: table_of(value) for key, value in win_rates.get("win_rates", {}).items()},
            weights={name: table_of(value) for name, value in (held_out_weights or {}).items()},
            costs=trial_costs(study, benchmark_scores, training_sets, pool),
            spend=spend_by_order(orders, purchases),
            staleness=stale,
            missing=missing,
        )
        page = graph.store.text(Cell("label_efficiency"), ".html").relative_to(graph.home.folder)
        figures = {
            "trials": len(benchmark_scores),
            "missing": sum(row["cells"] for row in missing),
            "stale": sum(row["cells"] for row in stale),
        }
        shown = {f"picture_{name}": plot(png) for name, png in report.plots.items()}
        tables = {
            **_tables(report.sheets),
            "whole_report": dg.MetadataValue.md(report.texts[".md"]),
            "page": dg.MetadataValue.url(f"{REPORTS}{study.name}"),
            "page_file": dg.MetadataValue.path(str(page)),
        }
        value = TableWithFiles(report.table, texts=report.texts)
        return versioned_output(context, value, {**shown, **tables, **figures})

    return [label_efficiency]


def _tables(sheets: Sequence["Sheet"]) -> dict[str, dg.MetadataValue]:
    """Scores by strategy and budget, then savings, each under a name that says so; differences are left out.

    Scores stand behind bars of their height, so that a table reads as a heat map.
    """
    from edsel_assets.report.heat_map import shaded
    from edsel_assets.report.sheets import SCORES

    found: dict[str, dg.MetadataValue] = {}
    for kind, left_out in _LEFT_OUT.items():
        for sheet in (sheet for sheet in sheets if sheet.kind == kind):
            texts = shaded([*sheet.rows], 2) if kind == SCORES else sheet.rows
            rows = [dict(zip(sheet.header, row, strict=True)) for row in texts]
            names = [column for column in sheet.header if column not in left_out]
            found[f"{kind}_{sheet.task}"] = rows_table([{n: row[n] for n in names} for row in rows], names)
    return found


def _unfinished(graph: Graph) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Cells never made and cells that are stale, counted by asset and reason; the report is left out.

    A cell made from what has to be made again may turn out fresh, and counts as stale until then.
    """
    from edsel_assets.planning.freshness import Freshness, State
    from edsel_assets.planning.plan import plan

    found = plan(Freshness(graph.study, graph.lineage, graph.home))
    counts = Counter(
        (step.state is State.MISSING, step.cell.asset, step.why if step.certain else _INPUT)
        for step in found.steps
        if step.cell.asset != "label_efficiency"
    )
    rows = [(gone, {"asset": a, "cells": n, "why": why}) for (gone, a, why), n in counts.items()]
    return [row for gone, row in rows if gone], [row for gone, row in rows if not gone]
