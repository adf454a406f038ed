"""Group ``evaluation``: benchmark scores of the base model and of every trial, and win rates."""

from pathlib import Path

import dagster as dg

from edsel_assets.defs.graph import Graph, partition_of
from edsel_assets.defs.io_managers import Table
from edsel_assets.defs.metadata import made, preview, timed
from edsel_assets.defs.partitions import dimensions, parse_trial
from edsel_assets.defs.resources import BaseModel


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study, cells = graph.study, graph.partitions

    @dg.asset(**graph.declare("evaluation", "base_scores", kinds={"pytorch"}, device=True, automatic=False))
    def base_scores(context: dg.AssetExecutionContext, base_model: BaseModel) -> dg.Output:
        """Benchmark scores of the base model: the curve's point at zero annotations."""
        from edsel_assets.stages.trials import evaluate_study

        with timed() as time:
            table = evaluate_study(*base_model.open(), study)
        return made(context, graph, table, {**_headline(table), "preview": preview(table), **time})

    @dg.asset(
        **graph.declare(
            "evaluation",
            "benchmark_scores",
            partitions_def=cells.budget_trial,
            kinds={"pytorch"},
            device=True,
            automatic=False,
        )
    )
    def benchmark_scores(
        context: dg.AssetExecutionContext, base_model: BaseModel, lora_adapters: Path
    ) -> dg.Output:
        """lm-eval scores of one trial."""
        from edsel_assets.stages.trials import evaluate_study, finetuned

        model, tokenizer = base_model.open()
        with timed() as time, finetuned(model, lora_adapters) as trial:
            table = evaluate_study(trial, tokenizer, study)
        return made(context, graph, table, {**_headline(table), "preview": preview(table), **time})

    @dg.asset(
        **graph.declare(
            "evaluation",
            "win_rates",
            partitions_def=cells.budget_trial,
            ins={
                "lora_adapters": partition_of(cells.trial_and_control()),
                "selections": partition_of(cells.selection_to_trial_and_control()),
                **cells.iterative_input(),
            },
            kinds={"pytorch"},
            device=True,
            automatic=False,
        )
    )
    def win_rates(
        context: dg.AssetExecutionContext,
        base_model: BaseModel,
        pool: Table,
        annotations: Table,
        lora_adapters: dict[str, Path],
        selections: dict[str, Table],
        **iterative: Table | None,
    ) -> dg.Output:
        """How often a trial's model beats the control's of the same budget and seed, weighted.

        On prompts with a response that neither was trained on: the posterior, at even odds, that
        the response was written by the trial's model rather than by the control's.
        """
        from edsel_assets.stages.trials import Trial, compare, selected_ids

        budget, name = dimensions(context)["budget"], dimensions(context)["trial"]

        def rival(trial: str) -> Trial:
            strategy, seed = parse_trial(trial)
            chosen = selections.get(f"{budget}|{strategy}", iterative.get("iterative_selections"))
            ids = selected_ids(chosen, seed)
            return Trial(trial, lora_adapters[f"{budget}|{trial}"], frozenset(ids))

        with timed() as time:
            pair = rival(name), rival(cells.control_of(name))
            table = compare(*base_model.open(), study, pool, annotations, *pair)
        return made(context, graph, table, {**table.to_pylist()[0], **time})

    return [base_scores, benchmark_scores, win_rates]


def _headline(table: Table) -> dict[str, float]:
    """One history plot per task and metric in the UI."""
    return {f"{row['task']}/{row['metric']}": row["value"] for row in table.to_pylist()}
