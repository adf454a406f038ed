"""Group ``pool``: the prompts, and what is annotated already."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import StoredTable, Table
from edsel_assets.defs.metadata import preview, timed, versioned_output
from edsel_assets.kinds.checks import UNIQUE_IDS
from edsel_assets.running.instance import REMARKS


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study

    @graph.asset("pool")
    def pool(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """The prompts that may be annotated: read, normalised, exact duplicates removed, sorted by id."""
        from edsel_assets.stages.checks.tables import unique_ids
        from edsel_assets.stages.pools import read_study_pool

        with timed() as time:
            found = read_study_pool(study)
        report, table = found.report, found.selectable
        budget = study.selection.every_budget[-1]
        if budget > table.num_rows and not study.selection.by_price:
            raise dg.Failure(
                f"The largest budget, {budget}, exceeds the {table.num_rows} prompts of the pool. "
                "Lower selection.budgets or give a larger pool.",
                allow_retries=False,
            )
        skipped = [f"{file}:{row}: {reason}" for file, row, reason in report.skipped]
        yield from checked(context, {UNIQUE_IDS: unique_ids(table)})
        yield versioned_output(
            context,
            table,
            {
                "rows_read": report.rows_read,
                "duplicates": report.duplicates,
                "left_out_unanswered": found.unanswered,
                "left_out_too_long": found.too_long,
                "held_out": int(found.held_out.sum()),
                "conflicting_responses": report.conflicts,
                "skipped": report.rows_skipped,
                "skipped_rows": dg.MetadataValue.json(skipped),
                "responses_unread": report.responses_unread,
                "chats_cut_short": report.more_turns,
                **({REMARKS: "\n".join(report.remarks)} if report.remarks else {}),
                "files": dg.MetadataValue.json([str(file) for file in report.files]),
                "with_response": table.num_rows - table["response"].null_count,
                "tasks": len(set(table["task"].to_pylist())),
                "preview": preview(table),
                **time,
            },
        )

    @graph.asset("annotations")
    def annotations(context: dg.AssetExecutionContext, pool: StoredTable, purchases: Table) -> dg.Output:
        """What is answered: by orders, and by the file of ``pool.annotations``, with response and cost."""
        from edsel_assets.desk.tables import answered_table
        from edsel_assets.pools import read_annotations

        table = answered_table(read_annotations(study.pool.annotations), purchases)
        known = set(pool.show(["prompt_id"])["prompt_id"].to_pylist())
        unknown = [p for p in table["prompt_id"].to_pylist() if p not in known]
        figures = {"of_no_prompt_in_the_pool": len(unknown), "first_of_these": ", ".join(unknown[:3])}
        return versioned_output(context, table, {**figures, "preview": preview(table)})

    return [pool, annotations]
