"""Group ``selection``: rankings once per strategy, selections once per budget."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph, partition_of
from edsel_assets.defs.io_managers import StoredTable, Table, TableWithFiles
from edsel_assets.defs.metadata import plot, preview, timed, versioned_output
from edsel_assets.defs.partitions import dimensions
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.selection.strategy import EMBEDDINGS
from edsel_assets.stages.checks import EXACT_BUDGET, GAINS, NONE_BOUGHT_BEFORE


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study, cells = graph.study, graph.partitions

    @dg.asset(
        **graph.declare(
            "selection",
            "rankings",
            partitions_def=cells.strategy,
            ins={
                "uncertainty_scores": partition_of(cells.measure_to_strategy()),
                "clusters": partition_of(cells.clusters_to_strategy()),
                "quality_scores": partition_of(cells.quality_to_strategy()),
            },
            kinds={"pytorch"},
        )
    )
    def rankings(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        annotations: StoredTable,
        orders: StoredTable,
        embeddings: StoredTable,
        uncertainty_scores: Table | None,
        clusters: TableWithFiles | None,
        quality_scores: Table | None,
    ) -> Iterator[Any]:
        """The order in which a strategy would annotate, to the largest budget: the expensive part."""
        from edsel_assets.report.plots import embedding_map
        from edsel_assets.stages.checks.tables import gains_do_not_rise, none_bought_before
        from edsel_assets.stages.describe import map_of, with_prompts
        from edsel_assets.stages.held_out import known_ids
        from edsel_assets.stages.inputs import signals_of, strategy_options
        from edsel_assets.stages.rankings import rank, ranking_summaries

        strategy = STRATEGIES[context.partition_key]
        ids = pool.read(["prompt_id"])
        known = known_ids(annotations.read(["prompt_id"]), orders.read(["prompt_id"]))
        signals = signals_of(
            strategy,
            ids,
            known,
            embeddings.read,
            uncertainty_scores,
            clusters,
            quality_scores,
        )
        with timed() as time:
            table = rank(
                strategy,
                signals,
                study.selection.budgets,
                strategy_options(study),
                replicates=len(study.seeds(strategy.name)),
            )
        yield from checked(
            context, {NONE_BOUGHT_BEFORE: none_bought_before(table, known), GAINS: gains_do_not_rise(table)}
        )
        summaries = ranking_summaries(table)
        metadata = {
            "summary": strategy.summary,
            "paper": strategy.paper,
            "prompts": preview(with_prompts(table, pool.show())),
            "objective_and_bound": dg.MetadataValue.json(summaries),
        }
        if EMBEDDINGS in strategy.needs:
            metadata["map_of_picks"] = plot(
                embedding_map(*map_of(table, ids, embeddings.show), title=strategy.name)
            )
        if summaries[0]["guarantee"] is not None:
            metadata["at_least_of_optimum"] = summaries[0]["guarantee"]
        yield versioned_output(context, table, {**metadata, **time})

    @dg.asset(
        **graph.declare(
            "selection",
            "selections",
            partitions_def=cells.budget_strategy,
            ins={"rankings": partition_of(cells.ranking_to_selection())},
            kinds={"parquet"},
        )
    )
    def selections(context: dg.AssetExecutionContext, pool: StoredTable, rankings: Table) -> Iterator[Any]:
        """The prompts to annotate with this budget: the cut of the ranking."""
        from edsel_assets.stages.checks.tables import exact_budget
        from edsel_assets.stages.describe import task_shares, with_prompts
        from edsel_assets.stages.rankings import cut, prefix_guarantee

        budget = int(dimensions(context)["budget"])
        table = cut(rankings, budget)
        yield from checked(context, {EXACT_BUDGET: exact_budget(table, budget)})
        guarantee = prefix_guarantee(rankings, budget)
        metadata = {} if guarantee is None else {"at_least_of_optimum": guarantee}
        shares = task_shares(table, pool.show())
        yield versioned_output(
            context,
            table,
            {
                "prompts": preview(with_prompts(table, pool.show())),
                **metadata,
                "replicates": len(set(table["replicate"].to_pylist())),
                "tasks_reached": int((shares["selected"].to_numpy() > 0).sum()),
                "prompts_by_task": preview(shares, rows=40),
            },
        )

    return [rankings, selections]
