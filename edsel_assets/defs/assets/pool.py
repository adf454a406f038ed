"""Group ``pool``: the prompts, and what is annotated already."""

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.metadata import preview, timed, versioned_output
from edsel_assets.running.external import pool_source


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study

    @dg.asset(**graph.declare("pool", "pool", kinds={"parquet"}))
    def pool(context: dg.AssetExecutionContext) -> dg.Output:
        """The prompts that may be annotated: read, normalised, exact duplicates removed, sorted by id."""
        from edsel_assets.pools import read_pool

        with timed() as time:
            report = read_pool(pool_source(study.pool))
        table = report.table
        if study.pool.annotated_only:
            table = table.filter(table["response"].is_valid())
        budget = max(study.selection.budgets)
        if budget > table.num_rows:
            raise dg.Failure(
                f"The largest budget, {budget}, exceeds the {table.num_rows} prompts of the pool. "
                "Lower selection.budgets or give a larger pool.",
                allow_retries=False,
            )
        skipped = [f"{file}:{row}: {reason}" for file, row, reason in report.skipped]
        return versioned_output(
            context,
            table,
            {
                "rows_read": report.rows_read,
                "duplicates": report.duplicates,
                "left_out_unanswered": report.table.num_rows - table.num_rows,
                "conflicting_responses": report.conflicts,
                "skipped": report.rows_skipped,
                "skipped_rows": dg.MetadataValue.json(skipped),
                "files": dg.MetadataValue.json([str(file) for file in report.files]),
                "with_response": table.num_rows - table["response"].null_count,
                "tasks": len(set(table["task"].to_pylist())),
                "preview": preview(table),
                **time,
            },
        )

    @dg.asset(**graph.declare("pool", "annotations", kinds={"parquet"}))
    def annotations(context: dg.AssetExecutionContext) -> dg.Output:
        """Prompts that are annotated already, with response and cost; empty without such a file."""
        from edsel_assets.pools import read_annotations

        table = read_annotations(study.pool.annotations)
        return versioned_output(context, table, {"preview": preview(table)})

    return [pool, annotations]
