"""Groups ``round_1``, ``round_2``, ... and ``rounds``, their union: iterative kMQ, as plain assets.

Dagster refuses an asset that depends on itself over static partitions, so a factory makes
round_1/selection, round_1/training_set, round_1/checkpoint, round_1/weights, round_2/selection, ...
Round r chooses by the weights of round r - 1; the last round only chooses, as nothing would read its
weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.defs.assets.evaluation import scored_output
from edsel_assets.defs.assets.finetuning import training_figures
from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import StoredTable, Table, TableWithFiles
from edsel_assets.defs.metadata import Picture, plot, preview, timed, versioned_output
from edsel_assets.defs.resources import BaseModel
from edsel_assets.keys import parse_budget_trial
from edsel_assets.kinds.checks import (
    ADAPTER_LOADS,
    EXACT_BUDGET,
    FINITE,
    LOSS_FELL,
    NONE_BOUGHT_BEFORE,
    SPREAD,
)


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    rounds = [asset for asset in graph.assets.values() if asset.number is not None]
    assets = [_MADE_BY[asset.kind.name](graph, asset.number) for asset in rounds]
    return [*assets, _union(graph)] if assets else []


def _in_order(tables: dict[str, Any]) -> list[Any]:
    return [tables[name] for name in sorted(tables, key=lambda name: int(name.rpartition("_")[2]))]


def _selection(graph: Graph, number: int) -> dg.AssetsDefinition:
    study = graph.study

    @graph.asset("round_selection", number)
    def selection(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        annotations: StoredTable,
        orders: StoredTable,
        clusters: TableWithFiles,
        quality_scores: Table,
        **earlier: Any,
    ) -> Iterator[Any]:
        from edsel_assets.stages.checks import Finding
        from edsel_assets.stages.checks.tables import none_bought_before
        from edsel_assets.stages.describe import with_prompts
        from edsel_assets.stages.held_out import known_ids
        from edsel_assets.stages.rounds import (
            ordered_round,
            pick_round,
            round_options,
            round_signals,
            round_size,
        )

        budget, name, seed = parse_budget_trial(context.partition_key)
        placed = orders.read(["prompt_id", "gain", "validation", "counts_for", "replaced"])
        frozen = ordered_round(placed, str(graph.cell(context)))
        if frozen is not None:  # what was asked for is never picked anew
            yield from checked(context, {NONE_BOUGHT_BEFORE: Finding(figures={"note": "ordered as it is"})})
            yield versioned_output(context, frozen, {"prompts": preview(with_prompts(frozen, pool.show()))})
            return
        weights = earlier.pop("weights", None)
        known = known_ids(annotations.read(["prompt_id"]), placed)
        signals = round_signals(study, name, pool.read, known, clusters, quality_scores, weights)
        table = pick_round(
            study.strategy(name),
            signals,
            round_size(budget, number, study.rounds.rounds),
            round_options(study, name, seed),
            _in_order(earlier),
        )
        yield from checked(context, {NONE_BOUGHT_BEFORE: none_bought_before(table, known)})
        yield versioned_output(context, table, {"prompts": preview(with_prompts(table, pool.show()))})

    return selection


def _training_set(graph: Graph, number: int) -> dg.AssetsDefinition:
    @graph.asset("round_training_set", number)
    def training_set(
        context: dg.AssetExecutionContext, pool: Table, annotations: Table, **selections: Any
    ) -> dg.Output:
        from edsel_assets.stages.rounds import union
        from edsel_assets.stages.training_sets import training_set

        table = training_set(union(_in_order(selections)), pool, annotations)
        return versioned_output(context, table, {"preview": preview(table)})

    return training_set


def _checkpoint(graph: Graph, number: int) -> dg.AssetsDefinition:
    study = graph.study.selecting

    @graph.asset("round_checkpoint", number)
    def checkpoint(
        context: dg.AssetExecutionContext, base_model: BaseModel, training_set: Table, **checkpoints: Path
    ) -> Iterator[Any]:
        from edsel_assets.llm import finetune
        from edsel_assets.stages.checks.tables import adapter_loads
        from edsel_assets.stages.checks.training import loss_fell
        from edsel_assets.stages.rounds import round_options
        from edsel_assets.stages.training_sets import examples_of
        from edsel_assets.stages.trials import adapted_chain, finetune_settings

        examples = examples_of(training_set, study.model.template)
        settings = finetune_settings(study.finetuning, epochs=study.rounds.epochs)
        path = graph.store.adapter(graph.cell(context))
        _, name, trial = parse_budget_trial(context.partition_key)
        seed = round_options(study, name, trial).seed + number
        model, tokenizer = base_model.open()
        with adapted_chain(model, _in_order(checkpoints)) as start:
            result = finetune(start, tokenizer, examples, settings, seed=seed, output_dir=path)
        yield from checked(context, {ADAPTER_LOADS: adapter_loads(path), LOSS_FELL: loss_fell(result)})
        yield versioned_output(context, path, training_figures(result, len(examples)), seed=seed)

    return checkpoint


def _scores(graph: Graph, number: int) -> dg.AssetsDefinition:
    study = graph.study.selecting

    @graph.asset("round_scores", number)
    def scores(
        context: dg.AssetExecutionContext, base_model: BaseModel, held_out: Table, **checkpoints: Path
    ) -> Iterator[Any]:
        from edsel_assets.stages.checks.tables import finite
        from edsel_assets.stages.trials import adapted_chain, evaluate_study

        model, tokenizer = base_model.open()
        with timed() as time, adapted_chain(model, _in_order(checkpoints)) as trial:
            scored = evaluate_study(trial, tokenizer, study, held_out)
        yield from checked(context, {FINITE: finite(scored.table)})
        yield scored_output(graph, context, scored, time)

    return scores


def _weights(graph: Graph, number: int) -> dg.AssetsDefinition:
    study = graph.study.selecting

    @graph.asset("round_weights", number)
    def weights(
        context: dg.AssetExecutionContext,
        base_model: BaseModel,
        pool: StoredTable,
        clusters: TableWithFiles,
        training_set: Table,
        **inputs: Any,
    ) -> Iterator[Any]:
        import numpy as np

        from edsel_assets.report.plots import histogram
        from edsel_assets.stages.chains import scored_chain
        from edsel_assets.stages.checks.rounds import weights_spread
        from edsel_assets.stages.inputs import clusters_of, rows_of
        from edsel_assets.stages.rounds import next_weights, spread_of
        from edsel_assets.stages.scoring.answers import answer_scores

        scorer = study.strategy(parse_budget_trial(context.partition_key)[1]).scorer
        assert scorer is not None, "only strategies that choose in rounds have weights"

        before = inputs.pop("weights", None)
        prompt_ids = pool.read(["prompt_id"])["prompt_id"]
        grouped = clusters_of(clusters, prompt_ids)
        model, tokenizer = base_model.open()
        with timed() as time, scored_chain(model, _in_order(inputs)) as trial:
            scores = answer_scores(scorer, trial, tokenizer, study, graph.home, training_set)
        table = next_weights(
            before,
            grouped.labels[rows_of(training_set["prompt_id"].to_pylist(), prompt_ids)],
            scores.values,
            clusters=len(grouped.centroids),
            temperature=study.rounds.temperature_of(scorer),
            literal=study.rounds.literal,
        )
        known = scores.values[~np.isnan(scores.values)]
        spread = spread_of(table["weight"].to_numpy())
        figures = {
            "mean_score": float(known.mean()),
            "without_score": len(scores.values) - len(known),
            "cut_answers": scores.cut,
            "largest_weight": float(table["weight"].to_numpy().max()),
            **asdict(spread),
        }
        shown = {
            "scores": plot(histogram(scores.values, label="score S")),
            "weights": _weights_plot(table, study.rounds.collapse),
            "preview": preview(table),
        }
        yield versioned_output(context, table, {**figures, **shown, **time})
        yield from checked(context, {SPREAD: weights_spread(spread, study.rounds.collapse)})

    return weights


def _weights_plot(table: Table, collapse: float) -> Picture:
    import numpy as np

    from edsel_assets.report.round_plots import cluster_weights

    return plot(cluster_weights(np.array(table["history"].to_pylist()).T, evenness=collapse))


def _union(graph: Graph) -> dg.AssetsDefinition:
    study = graph.study

    @graph.asset("iterative_selections")
    def iterative_selections(
        context: dg.AssetExecutionContext, pool: StoredTable, weights: StoredTable, **selections: Any
    ) -> Iterator[Any]:
        """What all rounds chose, in the format of ``selections``."""
        from edsel_assets.stages.checks.tables import counts_exactly, exact_budget
        from edsel_assets.stages.describe import task_shares, with_prompts
        from edsel_assets.stages.rounds import spread_of, union

        table = union(_in_order(selections))
        moved = weights.show(["weight", "history"])
        budget, name, _ = parse_budget_trial(context.partition_key)
        exact = counts_exactly(study, name)
        yield from checked(context, {EXACT_BUDGET: exact_budget(table, budget, exact=exact)})
        shown = {
            "prompts": preview(with_prompts(table, pool.show())),
            **asdict(spread_of(moved["weight"].to_numpy())),
            "cluster_weights": _weights_plot(moved, study.rounds.collapse),
            "prompts_by_task": preview(task_shares(table, pool.show()), rows=40),
        }
        yield versioned_output(context, table, shown)

    return iterative_selections


_MADE_BY: dict[str, Callable[[Graph, Any], dg.AssetsDefinition]] = {
    "round_selection": _selection,
    "round_training_set": _training_set,
    "round_checkpoint": _checkpoint,
    "round_weights": _weights,
    "round_scores": _scores,
}
