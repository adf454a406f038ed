"""Group ``targets``: whom the model must serve, as weights of the pool's prompts."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import StoredTable, Table
from edsel_assets.defs.metadata import plot, preview, timed, versioned_output
from edsel_assets.defs.resources import BaseModel
from edsel_assets.kinds.checks import ENOUGH_QUERIES, FINITE, QUERIES_NOT_KEPT_BACK, TOLD_APART
from edsel_assets.running.progress import progress_log


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study
    assets: list[dg.AssetsDefinition] = []
    if "target_queries" in graph.assets:
        assets.append(_queries(graph))
    if "demand" not in graph.assets:
        return assets

    @graph.asset("demand")
    def demand(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        embeddings: StoredTable | None,
        target_queries: StoredTable | None,
    ) -> Iterator[Any]:
        """How much it counts for the target that each prompt is covered: weights of mean 1."""
        from edsel_assets.report.plots import histogram
        from edsel_assets.stages.checks.tables import finite
        from edsel_assets.stages.vectors import targets

        name = context.partition_key
        by_prompts = study.targets[name].prompts is not None
        ids = pool.read(["prompt_id"] if by_prompts else ["prompt_id", "task"])
        read = [
            None if each is None or not by_prompts else each.read() for each in (embeddings, target_queries)
        ]
        with timed() as time:
            found = targets.demand(study, name, ids, *read)
        table = targets.demand_table(ids, found)
        most, least = targets.most_and_least(pool.show(), found)
        shown = {
            "most_wanted": preview(most),
            "least_wanted": preview(least),
            "weights": plot(histogram(found.weights, label=f"demand of {name}")),
        }
        scores = table.rename_columns(["prompt_id", "score"])
        yield from checked(context, {FINITE: finite(scores), TOLD_APART: targets.told_apart(name, found)})
        yield versioned_output(context, table, {**targets.figures(found), **shown, **time})

    weighed = [_weights(graph)] if "held_out_weights" in graph.assets else []
    return [*assets, demand, *weighed]


def _weights(graph: Graph) -> dg.AssetsDefinition:
    study = graph.study

    @graph.asset("held_out_weights")
    def held_out_weights(
        context: dg.AssetExecutionContext,
        base_model: BaseModel,
        pool: StoredTable,
        held_out: Table,
        embeddings: StoredTable | None,
        target_queries: StoredTable | None,
    ) -> Iterator[Any]:
        """How much each held-out prompt counts in the scores of the target."""
        from edsel_assets.stages.checks.tables import finite
        from edsel_assets.stages.vectors import targets

        name = context.partition_key
        by_prompts = study.targets[name].prompts is not None
        ids = pool.read(["prompt_id", "prompt"] if by_prompts else ["prompt_id", "task"])
        points, queries = (
            None if each is None or not by_prompts else each.read() for each in (embeddings, target_queries)
        )
        with timed() as time:
            table = targets.held_out_weights(
                study, graph.home, name, ids, held_out, points, queries, base_model.path, base_model.open
            )
        yield from checked(context, {FINITE: finite(table.rename_columns(["prompt_id", "score"]))})
        yield versioned_output(context, table, {"preview": preview(table), **time})

    return held_out_weights


def _queries(graph: Graph) -> dg.AssetsDefinition:
    study = graph.study.selecting

    @graph.asset("target_queries")
    def target_queries(
        context: dg.AssetExecutionContext, base_model: BaseModel, pool: StoredTable, held_out: StoredTable
    ) -> Iterator[Any]:
        """A target's prompts as users ask them, embedded as the pool is."""
        from edsel_assets.stages.vectors import targets

        name = context.partition_key
        columns = ["prompt_id", "prompt"]
        if study.embeddings.input == "prompt_response":
            columns.append("response")
        log = progress_log(context.log, "target_queries")
        with timed() as time:
            found = targets.target_queries(
                study, graph.home, name, pool.read(columns), base_model.path, base_model.open, log
            )
        kept = held_out.read(["prompt_id"])
        yield from checked(
            context,
            {
                ENOUGH_QUERIES: targets.enough_queries(name, found),
                QUERIES_NOT_KEPT_BACK: targets.none_held_out(name, found, kept),
            },
        )
        yield versioned_output(
            context, found.table, {**found.counts, "prompts": preview(found.prompts), **time}
        )

    return target_queries
