"""Group ``finetuning``: one adapter per budget and trial."""

from pathlib import Path

import dagster as dg

from edsel_assets.defs.graph import Graph, partition_of
from edsel_assets.defs.io_managers import Table, cell_path
from edsel_assets.defs.metadata import directory_size, made, plot
from edsel_assets.defs.partitions import dimensions, parse_trial
from edsel_assets.defs.resources import BaseModel


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study, cells = graph.study, graph.partitions

    @dg.asset(
        **graph.declare(
            "finetuning",
            "lora_adapters",
            partitions_def=cells.budget_trial,
            ins={
                "selections": partition_of(cells.selection_to_trial()),
                **cells.iterative_input(),
            },
            kinds={"pytorch", "huggingface"},
            device=True,
            automatic=False,
        )
    )
    def lora_adapters(
        context: dg.AssetExecutionContext,
        base_model: BaseModel,
        pool: Table,
        annotations: Table,
        selections: Table | None,
        **iterative: Table | None,
    ) -> dg.Output:
        """The base model finetuned on what a strategy selected: an adapter, or a full checkpoint."""
        from edsel_assets.llm import finetune
        from edsel_assets.report.plots import loss_curve
        from edsel_assets.stages.trials import finetune_settings, selected_ids, training_examples

        _, seed = parse_trial(dimensions(context)["trial"])
        selection = selections if selections is not None else iterative["iterative_selections"]
        ids = selected_ids(selection, seed)
        examples = training_examples(ids, pool, annotations, study.model.template)
        path = cell_path(graph.store, context.asset_key, context.partition_key)
        result = finetune(
            *base_model.open(), examples, finetune_settings(study.finetuning), seed=seed, output_dir=path
        )
        steps, losses = zip(*((entry["step"], entry["loss"]) for entry in result.log), strict=True)
        return made(
            context,
            graph,
            Path(path),
            {
                "examples": len(examples),
                "steps": result.steps,
                "final_loss": result.final_loss,
                "tokens_per_second": result.tokens_per_second,
                "seconds": result.seconds,
                "truncated": result.truncated,
                "dropped": result.dropped,
                "bytes": directory_size(path),
                "loss_curve": plot(loss_curve({"loss": (steps, losses)})),
            },
        )

    return [lora_adapters]
