"""Group ``selection``: rankings once per strategy, selections once per budget."""

import dagster as dg

from edsel_assets.defs.graph import Graph, partition_of
from edsel_assets.defs.io_managers import StoredTable, Table, TableWithFiles
from edsel_assets.defs.metadata import plot, preview, timed, versioned_output
from edsel_assets.defs.partitions import dimensions
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.selection.strategy import EMBEDDINGS


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
    ) -> dg.Output:
        """The order in which a strategy would annotate, to the largest budget: the expensive part."""
        from edsel_assets.report.plots import embedding_map
        from edsel_assets.report.purchase_plots import objective_by_spend
        from edsel_assets.stages.describe import map_of, with_prompts
        from edsel_assets.stages.held_out import known_ids
        from edsel_assets.stages.inputs import money_prices, signals_of, strategy_options
        from edsel_assets.stages.rankings import rank, ranking_summaries

        strategy = STRATEGIES[context.partition_key]
        ids = pool.read(["prompt_id"])
        signals = signals_of(
            strategy,
            ids,
            known_ids(annotations.read(["prompt_id"]), orders.read(["prompt_id"])),
            embeddings.read,
            uncertainty_scores,
            clusters,
            quality_scores,
            prices=money_prices(study, pool.read),
        )
        with timed() as time:
            table = rank(
                strategy,
                signals,
                study.selection.budgets,
                strategy_options(study),
                replicates=len(study.seeds(strategy.name)),
            )
        summaries = ranking_summaries(table)
        metadata = {
            "summary": strategy.summary,
            "paper": strategy.paper,
            "summaries": dg.MetadataValue.json(summaries),
            "preview": preview(with_prompts(table, pool.show())),
        }
        if "curves" in summaries[-1]["details"]:
            metadata["objective_by_spend"] = plot(objective_by_spend(summaries[-1]["details"]["curves"]))
        if EMBEDDINGS in strategy.needs:
            metadata["map"] = plot(embedding_map(*map_of(table, ids, embeddings.show), title=strategy.name))
        if summaries[0]["guarantee"] is not None:
            metadata["at_least_of_optimum"] = summaries[0]["guarantee"]
        return versioned_output(context, table, {**metadata, **time})

    @dg.asset(
        **graph.declare(
            "selection",
            "selections",
            partitions_def=cells.budget_strategy,
            ins={"rankings": partition_of(cells.ranking_to_selection())},
            kinds={"parquet"},
        )
    )
    def selections(context: dg.AssetExecutionContext, pool: StoredTable, rankings: Table) -> dg.Output:
        """The prompts to annotate with this budget: the cut of the ranking."""
        from edsel_assets.annotation import with_prices
        from edsel_assets.stages.describe import task_shares, with_prompts
        from edsel_assets.stages.rankings import cut, prefix_guarantee

        budget = int(dimensions(context)["budget"])
        table = cut(rankings, budget)
        guarantee = prefix_guarantee(rankings, budget)
        metadata = {} if guarantee is None else {"at_least_of_optimum": guarantee}
        shares = task_shares(table, pool.show())
        priced = with_prices(study.annotation, table, pool.show())
        return versioned_output(
            context,
            table,
            {
                **metadata,
                "replicates": len(set(table["replicate"].to_pylist())),
                "tasks_reached": int((shares["selected"].to_numpy() > 0).sum()),
                "by_task": preview(shares, rows=40),
                "expected_price": float(priced["spend"].to_numpy().max(initial=0.0)),
                "preview": preview(with_prompts(priced, pool.show())),
            },
        )

    return [rankings, selections]
