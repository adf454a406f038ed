"""Group ``evaluation``: benchmark scores of the base model and of every trial, and win rates."""

from pathlib import Path

import dagster as dg

from edsel_assets.defs.graph import Graph, partition_of
from edsel_assets.defs.io_managers import Table
from edsel_assets.defs.metadata import preview, timed, versioned_output
from edsel_assets.defs.partitions import dimensions
from edsel_assets.defs.resources import BaseModel
from edsel_assets.keys import parse_trial
from edsel_assets.running.external import External


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study, cells = graph.study, graph.partitions

    @dg.asset(**graph.declare("evaluation", "base_scores", kinds={"pytorch"}, device=True))
    def base_scores(context: dg.AssetExecutionContext, base_model: BaseModel) -> dg.Output:
        """Benchmark scores of the base model: the curve's point at zero annotations."""
        from edsel_assets.stages.trials import evaluate_study

        with timed() as time:
            table, files = evaluate_study(*base_model.open(), study)
        shown = {**_headline(table), "preview": preview(table), **time}
        return versioned_output(context, table, shown, data_sets=External(study, graph.home).data_sets(files))

    @dg.asset(
        **graph.declare(
            "evaluation",
            "benchmark_scores",
            partitions_def=cells.budget_trial,
            kinds={"pytorch"},
            device=True,
        )
    )
    def benchmark_scores(
        context: dg.AssetExecutionContext, base_model: BaseModel, lora_adapters: Path
    ) -> dg.Output:
        """lm-eval scores of one trial."""
        from edsel_assets.stages.trials import evaluate_study, finetuned

        model, tokenizer = base_model.open()
        with timed() as time, finetuned(model, lora_adapters) as trial:
            table, files = evaluate_study(trial, tokenizer, study)
        shown = {**_headline(table), "preview": preview(table), **time}
        return versioned_output(context, table, shown, data_sets=External(study, graph.home).data_sets(files))

    @dg.asset(**graph.declare("evaluation", "held_out", kinds={"parquet"}))
    def held_out(context: dg.AssetExecutionContext, pool: Table, annotations: Table) -> dg.Output:
        """Prompts with a response, in a fixed random order, to compare trials on those that neither saw."""
        from edsel_assets.stages.trials import comparison_prompts

        table = comparison_prompts(study, pool, annotations)
        return versioned_output(context, table, {"preview": preview(table)})

    @dg.asset(
        **graph.declare(
            "evaluation",
            "win_rates",
            partitions_def=cells.budget_trial,
            ins={
                "lora_adapters": partition_of(cells.trial_and_control()),
                "training_sets": partition_of(cells.training_set_to_trial_and_control()),
            },
            kinds={"pytorch"},
            device=True,
        )
    )
    def win_rates(
        context: dg.AssetExecutionContext,
        base_model: BaseModel,
        held_out: Table,
        lora_adapters: dict[str, Path],
        training_sets: dict[str, Table],
    ) -> dg.Output:
        """How often a trial's model beats the control's of the same budget and seed, weighted.

        On prompts with a response that neither was trained on: the posterior, at even odds, that
        the response was written by the trial's model rather than by the control's.
        """
        from edsel_assets.stages.training_sets import selected_ids
        from edsel_assets.stages.trials import Trial, compare

        budget, name = dimensions(context)["budget"], dimensions(context)["trial"]

        def rival(trial: str) -> Trial:
            strategy, seed = parse_trial(trial)
            ids = selected_ids(training_sets[f"{budget}|{strategy}"], seed)
            return Trial(trial, lora_adapters[f"{budget}|{trial}"], frozenset(ids))

        with timed() as time:
            table = compare(*base_model.open(), study, held_out, rival(name), rival(cells.control_of(name)))
        return versioned_output(context, table, {**table.to_pylist()[0], **time})

    return [base_scores, benchmark_scores, held_out, win_rates]


def _headline(table: Table) -> dict[str, float]:
    """One history plot per task and metric in the UI."""
    return {f"{row['task']}/{row['metric']}": row["value"] for row in table.to_pylist()}
