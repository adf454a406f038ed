"""Group ``annotation``: what was asked, answered and paid, and the model that all of it yields."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.defs.assets.evaluation import nothing_scored
from edsel_assets.defs.assets.finetuning import training_figures
from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import StoredTable, Table, TableWithFiles, table_of
from edsel_assets.defs.metadata import plot, preview, timed, versioned_output
from edsel_assets.defs.resources import BaseModel
from edsel_assets.kinds.checks import ADAPTER_LOADS, FINITE, LOSS_FELL, NONE_ORDERED_TWICE
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.external import External


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study

    @graph.asset("orders")
    def orders(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Every prompt that was ever asked for, by order; an order never changes after it was placed."""
        from edsel_assets.desk.tables import orders_table
        from edsel_assets.stages.checks.tables import none_ordered_twice

        table = orders_table(graph.store)
        counts = {"orders": len(set(table["order"].to_pylist()))}
        yield from checked(context, {NONE_ORDERED_TWICE: none_ordered_twice(table)})
        yield versioned_output(context, table, {**counts, "preview": preview(table)})

    @graph.asset("purchases")
    def purchases(context: dg.AssetExecutionContext) -> dg.Output:
        """What became of each prompt that was asked for: its state in the ledger of purchases."""
        from edsel_assets.annotation import Ledger, by_day
        from edsel_assets.desk.tables import purchases_table
        from edsel_assets.report.purchase_plots import purchases_by_day

        ledger = Ledger(graph.store)
        table = purchases_table(graph.store)
        days = by_day(ledger.events())
        states = table["status"].to_pylist()
        shown = {f"prompts_{state}": states.count(state) for state in sorted(set(states))}
        if days:
            shown["by_day"] = plot(purchases_by_day(days))
        return versioned_output(context, table, {**shown, "preview": preview(table)})

    @graph.asset("purchased_training_set")
    def purchased_training_set(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        annotations: Table,
        orders: Table,
        held_out: StoredTable,
    ) -> dg.Output:
        """All answers up to an order, but those that trials are scored on."""
        from edsel_assets.desk.tables import bought_training_set

        texts = pool.read(["prompt_id", "prompt"])
        aside = held_out.read(["prompt_id"])
        table = bought_training_set(context.partition_key, texts, annotations, orders, aside)
        if not table.num_rows:
            raise dg.Failure(
                f"Nothing that was asked for up to {context.partition_key} is answered yet. Import answers "
                "first: edsel import.",
                allow_retries=False,
            )
        return versioned_output(context, table, {"preview": preview(table)})

    @graph.asset("purchased_adapter")
    def purchased_adapter(
        context: dg.AssetExecutionContext, base_model: BaseModel, purchased_training_set: Table
    ) -> Iterator[Any]:
        """The base model finetuned on everything that was bought and answered by an order."""
        from edsel_assets.llm import finetune
        from edsel_assets.stages.checks.tables import adapter_loads
        from edsel_assets.stages.checks.training import loss_fell
        from edsel_assets.stages.training_sets import examples_of
        from edsel_assets.stages.trials import finetune_settings

        examples = examples_of(purchased_training_set, study.model.template)
        path = graph.store.adapter(Cell("purchased_adapter", context.partition_key))
        result = finetune(
            *base_model.open(), examples, finetune_settings(study.finetuning), seed=0, output_dir=path
        )
        if 2 * result.dropped > len(examples):
            raise ValueError(
                f"{result.dropped} of {len(examples)} answers that were bought were not trained on: their "
                "prompts leave no room for a response in finetuning.max_length = "
                f"{study.finetuning.max_length} tokens. Raise it."
            )
        yield from checked(context, {ADAPTER_LOADS: adapter_loads(path), LOSS_FELL: loss_fell(result)})
        yield versioned_output(context, path, training_figures(result, len(examples)), seed=0)

    @graph.asset("purchased_scores")
    def purchased_scores(
        context: dg.AssetExecutionContext,
        base_model: BaseModel,
        held_out: Table,
        purchased_adapter: Path,
    ) -> Iterator[Any]:
        """Benchmark and held-out scores of what was bought up to an order."""
        from edsel_assets.stages.checks.tables import finite
        from edsel_assets.stages.trials import evaluate_study, finetuned, nothing_to_score, wants_whole

        if why := nothing_to_score(study, held_out):
            yield from nothing_scored(context, why)
            return
        model, tokenizer = base_model.open()
        with timed() as time, finetuned(model, purchased_adapter, whole=wants_whole(study)) as trial:
            scored = evaluate_study(trial, tokenizer, study, held_out)
        yield from checked(context, {FINITE: finite(scored.table)})
        yield versioned_output(
            context,
            TableWithFiles(scored.table, items=scored.items),
            {"preview": preview(scored.table), **time},
            data_sets=External(study, graph.home).data_sets(scored.files),
        )

    @graph.asset("spend_curve")
    def spend_curve(
        context: dg.AssetExecutionContext,
        annotations: StoredTable,
        orders: Table,
        purchases: Table,
        base_scores: Any,
        purchased_scores: dict[str, Any],
    ) -> dg.Output:
        """Scores after each order against the money spent, and what the next order is expected to bring."""
        from edsel_assets.desk.spending import advice, last_batch, spend_table
        from edsel_assets.report.purchase_plots import score_by_spend

        by_order = {order: table_of(scores) for order, scores in purchased_scores.items()}
        answered = annotations.read(["prompt_id", "order"])
        table = spend_table(answered, orders, purchases, table_of(base_scores), by_order)
        curve = {"score_by_spend": plot(score_by_spend(table.to_pylist()))} if table.num_rows else {}
        shown = {
            "next_order": advice(table, last_batch(orders)),
            **curve,
            "scores_by_order": preview(table, rows=40),
        }
        return versioned_output(context, table, shown)

    return [
        orders,
        purchases,
        purchased_training_set,
        purchased_adapter,
        purchased_scores,
        spend_curve,
    ]
