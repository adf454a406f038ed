"""Group ``finetuning``: prompts and responses of each selection, and one adapter per budget and trial."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import Table
from edsel_assets.defs.metadata import directory_size, plot, preview, versioned_output
from edsel_assets.defs.resources import BaseModel
from edsel_assets.keys import parse_budget_trial
from edsel_assets.kinds.checks import ADAPTER_LOADS, LOSS_FELL
from edsel_assets.planning.cells import Cell


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study

    @graph.asset("training_sets")
    def training_sets(
        context: dg.AssetExecutionContext,
        pool: Table,
        annotations: Table,
        selections: Table | None,
        **iterative: dict[str, Table] | None,
    ) -> dg.Output:
        """What was selected, with its responses: all that training reads of the pool."""
        from edsel_assets.stages.rounds import replicates
        from edsel_assets.stages.training_sets import training_set

        chosen = selections
        if chosen is None:
            seeds = {
                parse_budget_trial(key)[2]: table
                for key, table in (iterative["iterative_selections"] or {}).items()
            }
            chosen = replicates(seeds)
        table = training_set(chosen, pool, annotations)
        return versioned_output(context, table, {"preview": preview(table)})

    @graph.asset("lora_adapters")
    def lora_adapters(
        context: dg.AssetExecutionContext,
        base_model: BaseModel,
        training_sets: Table,
        **checkpoints: Path | None,
    ) -> Iterator[Any]:
        """The base model finetuned on what a strategy selected: an adapter, or a full checkpoint.

        With ``rounds.start: continue`` a trial of iterative kMQ is the last of its rounds' chain instead.
        """
        from edsel_assets.llm import finetune
        from edsel_assets.stages.chains import continue_chain
        from edsel_assets.stages.checks.tables import adapter_loads
        from edsel_assets.stages.checks.training import loss_fell
        from edsel_assets.stages.rounds import round_options
        from edsel_assets.stages.training_sets import examples_of
        from edsel_assets.stages.trials import finetune_settings

        _, name, seed = parse_budget_trial(context.partition_key)
        examples = examples_of(training_sets, study.model.template, seed)
        path = graph.store.adapter(Cell("lora_adapters", context.partition_key))
        chain = [found for found in checkpoints.values() if found is not None]
        settings = finetune_settings(study.finetuning)
        if chain:
            settings = finetune_settings(study.finetuning, epochs=study.rounds.epochs)
            seed = round_options(study, name, seed).seed + study.rounds.rounds
            result = continue_chain(*base_model.open(), chain, examples, settings, seed=seed, folder=path)
        else:
            result = finetune(*base_model.open(), examples, settings, seed=seed, output_dir=path)
        figures = {
            **training_figures(result, len(examples)),
            "tokens_per_second": result.tokens_per_second,
            "bytes": directory_size(path),
            **base_model.reading(),
        }
        yield from checked(context, {ADAPTER_LOADS: adapter_loads(path), LOSS_FELL: loss_fell(result)})
        yield versioned_output(context, path, figures, seed=seed)

    return [training_sets, lora_adapters]


def training_figures(result: Any, examples: int) -> dict[str, Any]:
    """What a person wants to see of a training run, with its loss curve."""
    from edsel_assets.report.plots import loss_curve

    steps, losses = zip(*((entry["step"], entry["loss"]) for entry in result.log), strict=True)
    return {
        "examples": examples,
        "responses_cut": result.truncated,
        "examples_left_out": result.dropped,
        "steps": result.steps,
        "batch_size": result.batch_size,
        "learning_rate": result.learning_rate,
        "loss_fall": result.loss_fall,
        "final_loss": result.final_loss,
        "seconds": result.seconds,
        "loss_curve": plot(loss_curve({"loss": (steps, losses)})),
    }
