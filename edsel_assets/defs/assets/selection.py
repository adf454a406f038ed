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
        from edsel_assets.planning.cells import Cell
        from edsel_assets.planning.extending import earlier_ranking
        from edsel_assets.planning.freshness import Freshness
        from edsel_assets.report.plots import embedding_map
        from edsel_assets.stages.describe import map_of, with_prompts
        from edsel_assets.stages.held_out import known_ids
        from edsel_assets.stages.inputs import signals_of, strategy_options
        from edsel_assets.stages.rankings import cuts, rank, ranking_summaries

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
        )
        # Asked for once all inputs are read: what it compares is then what was read, or newer.
        now = Freshness(study, graph.lineage, graph.home)
        begun = earlier_ranking(now, Cell("rankings", context.partition_key)) if strategy.nested else None
        with timed() as time:
            table = rank(
                strategy,
                signals,
                study.selection.budgets,
                strategy_options(study),
                replicates=len(study.seeds(strategy.name)),
                begun=begun,
            )
        summaries = ranking_summaries(table)
        metadata = {
            "summary": strategy.summary,
            "paper": strategy.paper,
            "summaries": dg.MetadataValue.json(summaries),
            "picks_known_before": 0 if begun is None else begun.num_rows,
            "preview": preview(with_prompts(table, pool.show())),
        }
        if EMBEDDINGS in strategy.needs:
            metadata["map"] = plot(embedding_map(*map_of(table, ids, embeddings.show), title=strategy.name))
        if summaries[0]["guarantee"] is not None:
            metadata["at_least_of_optimum"] = summaries[0]["guarantee"]
        parts = cuts(table, study.selection.budgets)
        return versioned_output(context, table, {**metadata, **time}, parts=parts)

    @dg.asset(
        **graph.declare(
            "selection",
            "selections",
            partitions_def=cells.budget_strategy,
            ins={"rankings": partition_of(cells.ranking_to_selection())},
            kinds={"parquet"},
        )
    )
    def selections(context: dg.AssetExecutionContext, pool: StoredTable, rankings: StoredTable) -> dg.Output:
        """The prompts to annotate with this budget: the cut of the ranking."""
        from edsel_assets.stages.describe import task_shares, with_prompts
        from edsel_assets.stages.rankings import cut, cut_name, prefix_guarantee

        budget = int(dimensions(context)["budget"])
        ranking = rankings.read_part(cut_name(budget))
        table = cut(ranking, budget)
        guarantee = prefix_guarantee(ranking, budget)
        metadata = {} if guarantee is None else {"at_least_of_optimum": guarantee}
        shares = task_shares(table, pool.show())
        return versioned_output(
            context,
            table,
            {
                **metadata,
                "replicates": len(set(table["replicate"].to_pylist())),
                "tasks_reached": int((shares["selected"].to_numpy() > 0).sum()),
                "by_task": preview(shares, rows=40),
                "preview": preview(with_prompts(table, pool.show())),
            },
        )

    return [rankings, selections]
