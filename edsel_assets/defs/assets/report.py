"""Group ``report``: what each strategy saves against the control."""

from typing import Any

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import Table
from edsel_assets.defs.metadata import plot, preview, versioned_output
from edsel_assets.running.dagster_internals import ALLOW_MISSING


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study
    some = dg.AssetIn(metadata={ALLOW_MISSING: True})

    @dg.asset(
        **graph.declare(
            "report",
            "label_efficiency",
            ins={"benchmark_scores": some, "win_rates": some},
            kinds={"pandas", "matplotlib"},
        )
    )
    def label_efficiency(
        context: dg.AssetExecutionContext,
        base_scores: Table,
        benchmark_scores: dict[str, Table],
        win_rates: dict[str, Table],
    ) -> dg.Output:
        """Scores by strategy and budget, and the annotation each strategy saves against the control.

        Of the trials there are: their number, and those missing, stand in the metadata.
        """
        from edsel_assets.stages.summary import summarise

        report = summarise(study, base_scores, benchmark_scores, win_rates)
        missing = len(graph.partitions.budget_trial.get_partition_keys()) - len(benchmark_scores)
        figures: dict[str, Any] = {"trials": len(benchmark_scores), "trials_missing": missing}
        plots = {name: plot(png) for name, png in report.plots.items()}
        tables = {
            "by_strategy": dg.MetadataValue.md(report.markdown),
            "preview": preview(report.table, rows=40),
        }
        return versioned_output(context, report.table, {**figures, **plots, **tables})

    return [label_efficiency]
