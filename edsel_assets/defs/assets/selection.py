"""Group ``selection``: rankings once per strategy, selections once per budget."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import StoredTable, Table, TableWithFiles
from edsel_assets.defs.metadata import plot, preview, timed, versioned_output
from edsel_assets.keys import key_parts
from edsel_assets.kinds.checks import EXACT_BUDGET, GAINS, NONE_BOUGHT_BEFORE, NOT_WORSE
from edsel_assets.selection.strategy import EMBEDDINGS


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study

    @graph.asset("rankings")
    def rankings(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        annotations: StoredTable,
        orders: StoredTable,
        embeddings: StoredTable,
        uncertainty_scores: Table | None,
        clusters: TableWithFiles | None,
        quality_scores: Table | None,
        demand: Table | None,
        target_queries: StoredTable | None,
        **other: StoredTable | None,
    ) -> Iterator[Any]:
        """The order in which a strategy would annotate, to the largest budget: the expensive part."""
        from edsel_assets.planning.cells import Cell
        from edsel_assets.planning.extending import earlier_ranking
        from edsel_assets.planning.freshness import Freshness
        from edsel_assets.report.plots import embedding_map
        from edsel_assets.report.purchase_plots import objective_by_spend
        from edsel_assets.stages.checks.tables import gains_do_not_rise, none_bought_before
        from edsel_assets.stages.describe import map_of, with_prompts
        from edsel_assets.stages.held_out import known_ids
        from edsel_assets.stages.inputs import Aim, money_prices, signals_of, strategy_options
        from edsel_assets.stages.rankings import cuts, rank, ranking_summaries

        strategy = study.strategy(context.partition_key)
        source = other.get("other_embeddings") or embeddings
        ids = pool.read(["prompt_id"])
        known = known_ids(annotations.read(["prompt_id"]), orders.read(["prompt_id"]))
        signals = signals_of(
            strategy,
            ids,
            known,
            lambda: source.read(),  # it may be no input where no strategy reads embeddings
            uncertainty_scores,
            clusters,
            quality_scores,
            prices=money_prices(study, pool.read),
            aim=Aim(demand, None if target_queries is None else target_queries.read()),
            read_pool=pool.read,
        )
        # Asked for once all inputs are read: what it compares is then what was read, or newer.
        now = Freshness(study, graph.lineage, graph.home)
        nested = strategy.nested and not study.selection.by_price
        begun = earlier_ranking(now, Cell("rankings", strategy.name)) if nested else None
        with timed() as time:
            table = rank(
                strategy,
                signals,
                study.selection.budgets_for(strategy.name),
                strategy_options(study, strategy.name),
                replicates=len(study.seeds(strategy.name)),
                begun=begun,
            )
        yield from checked(
            context,
            {
                NONE_BOUGHT_BEFORE: none_bought_before(table, known),
                GAINS: gains_do_not_rise(table, for_money=study.selection.by_price),
            },
        )
        summaries = ranking_summaries(table)
        metadata = {
            "summary": strategy.summary,
            "paper": strategy.paper,
            "prompts": preview(with_prompts(table, pool.show())),
            "picks_known_before": 0 if begun is None else begun.num_rows,
            "objective_and_bound": dg.MetadataValue.json(summaries),
        }
        found = summaries[-1]["details"]
        resolved = {"selection.gamma": found["gamma"]} if "gamma" in found else {}
        metadata |= {name: found[name] for name in ("gamma", "warning") if name in found}
        if "curves" in found:
            metadata["objective_by_spend"] = plot(objective_by_spend(found["curves"]))
        if EMBEDDINGS in strategy.needs:
            metadata["map_of_picks"] = plot(
                embedding_map(*map_of(table, ids, source.show), title=strategy.name)
            )
        if summaries[0]["guarantee"] is not None:
            metadata["at_least_of_optimum"] = summaries[0]["guarantee"]
        parts = cuts(table, study.selection.budgets_for(strategy.name))
        yield versioned_output(context, table, {**metadata, **time}, parts=parts, resolved=resolved)

    @graph.asset("selections")
    def selections(
        context: dg.AssetExecutionContext, pool: StoredTable, rankings: StoredTable
    ) -> Iterator[Any]:
        """The prompts to annotate with this budget: the cut of the ranking."""
        from edsel_assets.annotation import with_prices
        from edsel_assets.stages.checks.tables import counts_exactly, exact_budget
        from edsel_assets.stages.describe import task_shares, with_prompts
        from edsel_assets.stages.rankings import cut, cut_name, prefix_guarantee

        padded, strategy = key_parts(context.partition_key)
        budget = int(padded)
        ranking = rankings.read_part(cut_name(budget))
        table = cut(ranking, budget)
        exact = counts_exactly(study, strategy)
        yield from checked(context, {EXACT_BUDGET: exact_budget(table, budget, exact=exact)})
        guarantee = prefix_guarantee(ranking, budget)
        metadata = {} if guarantee is None else {"at_least_of_optimum": guarantee}
        shares = task_shares(table, pool.show())
        priced = with_prices(study.annotation, table, pool.show())
        yield versioned_output(
            context,
            table,
            {
                "prompts": preview(with_prompts(priced, pool.show())),
                **metadata,
                "replicates": len(set(table["replicate"].to_pylist())),
                "tasks_reached": int((shares["selected"].to_numpy() > 0).sum()),
                "prompts_by_task": preview(shares, rows=40),
                "expected_price": float(priced["spend"].to_numpy().max(initial=0.0)),
            },
        )

    @graph.asset("selection_cards")
    def selection_cards(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        embeddings: StoredTable,
        clusters: TableWithFiles,
        selections: Table | None,
        **others: Any,
    ) -> dg.Output:
        """Why each prompt was picked, what the selection covers, and how it is skewed against the pool."""
        from edsel_assets.report.card_sheets import cards_markdown
        from edsel_assets.stages.describe import cards_of

        chosen = selections
        if chosen is None:
            _, chosen = min((others["iterative_selections"] or {}).items())  # the first seed's
        texts = pool.read(["prompt_id", "prompt", "task", "source"])
        with timed() as time:
            scores = others.get("uncertainty_scores"), others.get("quality_scores")
            cards = cards_of(chosen, texts, embeddings.read(), clusters, *scores)
        page = cards_markdown(cards, title=context.partition_key)
        figures = {name: cards.coverage[name][0].as_py() for name in _COVERAGE}
        return versioned_output(
            context,
            TableWithFiles(cards.picks, texts={".md": page}),
            {
                **figures,
                "cards": dg.MetadataValue.md(page),
                "overlap": dg.MetadataValue.asset(graph.key("selection_overlap")),
                **time,
            },
        )

    @graph.asset("selection_overlap")
    def selection_overlap(context: dg.AssetExecutionContext, selections: dict[str, Table]) -> dg.Output:
        """Share of prompts that two strategies both pick, for each pair of the selections there are."""
        from edsel_assets.report.plots import overlap_matrix
        from edsel_assets.stages.describe import overlaps

        table = overlaps({key_parts(key)[1]: one for key, one in selections.items()})
        shown = {"overlap": plot(overlap_matrix(table)), "shared_prompts": preview(table, rows=40)}
        return versioned_output(context, table, shown)

    @graph.asset("selection_checks")
    def selection_checks(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        embeddings: StoredTable,
        annotations: StoredTable,
        orders: StoredTable,
        selections: dict[str, Table],
        demand: dict[str, Table] | None,
        **rounds: Any,
    ) -> Iterator[Any]:
        """Each selection of a budget beside 50 random draws of equal size: coverage, tasks, twins."""
        from edsel_assets.report.geometry_plots import against_random
        from edsel_assets.stages.held_out import known_ids
        from edsel_assets.stages.inputs import money_prices
        from edsel_assets.stages.vectors.against_random import by_strategy, compare_with_random, none_worse

        known = known_ids(annotations.read(["prompt_id"]), orders.read(["prompt_id"]))
        chosen = by_strategy({**selections, **(rounds.get("iterative_selections") or {})})
        with timed() as time:
            table = compare_with_random(
                study,
                int(context.partition_key),
                pool.read(["prompt_id", "task"]),
                embeddings.read(),
                known,
                chosen,
                money_prices(study, pool.read),
                demand,
            )
        yield from checked(context, {NOT_WORSE: none_worse(table)})
        words = table.select(["strategy", "words", "problem"])
        shown: dict[str, Any] = {"in_words": preview(words, rows=40)}
        if table.num_rows:
            shown["against_random"] = plot(against_random(table.to_pylist()))
        for row in table.to_pylist():
            if study.strategy(row["strategy"]).iterative:
                continue  # its picks are of another asset
            context.log_event(_beside(graph, context.partition_key, row))
        yield versioned_output(context, table, {**shown, **time})

    return [rankings, selections, selection_cards, selection_overlap, selection_checks]


def _beside(graph: Graph, budget: str, row: dict[str, Any]) -> dg.AssetObservation:
    """What the page of a selection shows of its comparison with random draws."""
    key = dg.MultiPartitionKey({"budget": budget, "strategy": row["strategy"]})
    metadata = {"against_random": row["words"], "worse_than_random": row["problem"] or "no"}
    return dg.AssetObservation(asset_key=graph.key("selections"), partition=key, metadata=metadata)


_COVERAGE = ("mean_distance", "max_distance", "largest_share")
