"""Group ``finetuning``: prompts and responses of each selection, and one adapter per budget and trial."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph, partition_of
from edsel_assets.defs.io_managers import Table
from edsel_assets.defs.metadata import directory_size, plot, preview, versioned_output
from edsel_assets.defs.partitions import dimensions
from edsel_assets.defs.resources import BaseModel
from edsel_assets.keys import parse_trial
from edsel_assets.planning.cells import Cell, cell_path
from edsel_assets.stages.checks import ADAPTER_LOADS


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study, cells = graph.study, graph.partitions

    @dg.asset(
        **graph.declare(
            "finetuning",
            "training_sets",
            partitions_def=cells.budget_any_strategy,
            ins={"selections": partition_of(cells.selection_to_training_set()), **cells.iterative_input()},
            kinds={"parquet"},
        )
    )
    def training_sets(
        context: dg.AssetExecutionContext,
        pool: Table,
        annotations: Table,
        selections: Table | None,
        **iterative: Table | None,
    ) -> dg.Output:
        """What was selected, with its responses: all that training reads of the pool."""
        from edsel_assets.stages.training_sets import training_set

        chosen = selections if selections is not None else iterative["iterative_selections"]
        table = training_set(chosen, pool, annotations)
        return versioned_output(context, table, {"preview": preview(table)})

    @dg.asset(
        **graph.declare(
            "finetuning",
            "lora_adapters",
            partitions_def=cells.budget_trial,
            ins={"training_sets": partition_of(cells.training_set_to_trial())},
            kinds={"pytorch", "huggingface"},
            device=True,
        )
    )
    def lora_adapters(
        context: dg.AssetExecutionContext, base_model: BaseModel, training_sets: Table
    ) -> Iterator[Any]:
        """The base model finetuned on what a strategy selected: an adapter, or a full checkpoint."""
        from edsel_assets.llm import finetune
        from edsel_assets.stages.checks.tables import adapter_loads
        from edsel_assets.stages.training_sets import examples_of
        from edsel_assets.stages.trials import finetune_settings

        _, seed = parse_trial(dimensions(context)["trial"])
        examples = examples_of(training_sets, study.model.template, seed)
        path = cell_path(graph.store, Cell("lora_adapters", context.partition_key))
        result = finetune(
            *base_model.open(), examples, finetune_settings(study.finetuning), seed=seed, output_dir=path
        )
        figures = {
            **training_figures(result, len(examples)),
            "tokens_per_second": result.tokens_per_second,
            "truncated": result.truncated,
            "dropped": result.dropped,
            "bytes": directory_size(path),
        }
        yield from checked(context, {ADAPTER_LOADS: adapter_loads(path)})
        yield versioned_output(context, path, figures, seed=seed)

    return [training_sets, lora_adapters]


def training_figures(result: Any, examples: int) -> dict[str, Any]:
    """What a person wants to see of a training run, with its loss curve."""
    from edsel_assets.report.plots import loss_curve

    steps, losses = zip(*((entry["step"], entry["loss"]) for entry in result.log), strict=True)
    return {
        "examples": examples,
        "steps": result.steps,
        "final_loss": result.final_loss,
        "seconds": result.seconds,
        "loss_curve": plot(loss_curve({"loss": (steps, losses)})),
    }
