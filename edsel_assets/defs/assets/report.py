"""Group ``report``: what each strategy saves against the control."""

from collections import Counter
from typing import Any

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import TableWithFiles, table_of
from edsel_assets.defs.metadata import plot, versioned_output
from edsel_assets.running.dagster_internals import ALLOW_MISSING

_ROWS_SHOWN = 40


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study, cells = graph.study, graph.partitions
    some = dg.AssetIn(metadata={ALLOW_MISSING: True})
    ins = {"benchmark_scores": some, **({"win_rates": some} if cells.judges else {})}

    @dg.asset(**graph.declare("report", "label_efficiency", ins=ins, kinds={"pandas", "matplotlib"}))
    def label_efficiency(
        context: dg.AssetExecutionContext,
        base_scores: Any,
        benchmark_scores: dict[str, Any],
        **win_rates: dict[str, Any],
    ) -> dg.Output:
        """Scores by strategy and budget, and the annotation each strategy saves against the control.

        Of the trials there are: those missing or stale are listed in the report.
        """
        from edsel_assets.stages.evaluation.items import item_values
        from edsel_assets.stages.summary import Scores, summarise

        def scores(value: Any) -> Scores:
            return Scores(table_of(value), item_values(getattr(value, "items", None)))

        missing, stale = _unfinished(graph)
        report = summarise(
            study,
            scores(base_scores),
            {key: scores(value) for key, value in benchmark_scores.items()},
            {key: table_of(value) for key, value in win_rates.get("win_rates", {}).items()},
            staleness=stale[:_ROWS_SHOWN],
            missing=missing[:_ROWS_SHOWN],
        )
        figures = {
            "trials": len(benchmark_scores),
            "missing": sum(row["cells"] for row in missing),
            "stale": sum(row["cells"] for row in stale),
        }
        shown = {name: plot(png) for name, png in report.plots.items()}
        tables = {
            "report": dg.MetadataValue.md(report.texts[".md"]),
            "page": dg.MetadataValue.path(f"store/{study.name}/label_efficiency.html"),
        }
        value = TableWithFiles(report.table, texts=report.texts)
        return versioned_output(context, value, {**tables, **figures, **shown})

    return [label_efficiency]


def _unfinished(graph: Graph) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Cells never made and cells that are stale, counted by asset and reason; the report is left out."""
    from edsel_assets.planning.freshness import Freshness, State
    from edsel_assets.planning.plan import plan

    found = plan(Freshness(graph.study, graph.lineage, graph.home))
    counts = Counter(
        (step.state is State.MISSING, step.cell.asset, "; ".join(step.reasons))
        for step in [*found.certain, *found.waiting]
        if step.cell.asset != "label_efficiency"
    )
    rows = [(gone, {"asset": a, "cells": n, "why": why}) for (gone, a, why), n in counts.items()]
    return [row for gone, row in rows if gone], [row for gone, row in rows if not gone]
