"""Jobs of the paid loop, each with a form: order, export an order, import answers, have one answered."""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.resources import Annotator


class OrderForm(dg.Config):
    strategy: str = Field(description="Whose next picks to order: a strategy of the study.")
    budget: int = Field(0, description="How many prompts to order; 0 with spend or replace.")
    spend: float = Field(0.0, description="For how much money to order; 0 with budget or replace.")
    replace: bool = Field(False, description="Order as many as were rejected, in their place.")


class ExportForm(dg.Config):
    order: str = Field(description="Name of the order, such as order-0001.")
    format: str = Field("csv", description="jsonl, csv, label-studio or argilla.")
    out: str = Field(description="File to write, on the machine that runs the job.")


class ImportForm(dg.Config):
    file: str = Field(description="Answers, in any format of an export, on the machine that runs the job.")
    order: str = Field("", description="Only answers to this order; empty: to any.")
    keep: str = Field("", description="first or last of several answers to one prompt; empty: refuse them.")
    skip_unknown: bool = Field(False, description="Leave out ids that were never asked for.")


class AnswerForm(dg.Config):
    order: str = Field("", description="Name of the order to answer; empty: all that is open.")


def build(graph: Graph) -> list[dg.JobDefinition]:
    def opened(context: dg.OpExecutionContext) -> Any:
        from edsel_assets.running.local import Listener
        from edsel_assets.running.ordering import open_desk

        assert graph.definitions is not None, "a job ran before its definitions were assembled"
        told = Listener(waiting=context.log.info)
        return open_desk(graph.study, graph.definitions, context.instance, graph.home, told)

    @dg.op(name=graph.named("place_order"))
    def place_order(context: dg.OpExecutionContext, config: OrderForm) -> None:
        from edsel_assets import desk

        asking = desk.Asking(
            config.strategy,
            config.budget or None,
            config.spend or None,
            config.replace,
            request=context.run.root_run_id or context.run_id,
        )
        placed = desk.place(opened(context), asking)
        context.log.info(f"{placed.name}: {placed.words}")
        context.add_output_metadata(
            {
                "order": placed.name,
                "prompts": placed.prompts,
                "to_validate": placed.validation,
                "price": placed.price,
                "file": dg.MetadataValue.path(str(placed.file.relative_to(graph.home.folder))),
                "next": "Hand it out by the job export_order.",
            }
        )

    @dg.op(name=graph.named("write_order"))
    def write_order(context: dg.OpExecutionContext, config: ExportForm) -> None:
        from edsel_assets import desk

        files = desk.export(opened(context), config.order, config.format, Path(config.out))
        written = {f"file {file.name}": dg.MetadataValue.path(str(file)) for file in files}
        answered = "Take the file back with its answers by the job import_answers."
        context.add_output_metadata({**written, "next": answered})

    @dg.op(name=graph.named("take_answers_back"))
    def take_answers_back(context: dg.OpExecutionContext, config: ImportForm) -> None:
        from edsel_assets import desk

        counts = desk.take_back(
            opened(context),
            Path(config.file),
            order=config.order or None,
            keep=config.keep or None,
            skip_unknown=config.skip_unknown,
        )
        context.log.info(", ".join(f"{count} {kind}" for kind, count in counts.items()))
        context.add_output_metadata({**counts, "next": "Train on them by the job train_on_answers."})

    @dg.op(name=graph.named("ask_the_annotator"), required_resource_keys={graph.named("annotator")})
    def ask_the_annotator(context: dg.OpExecutionContext, config: AnswerForm) -> None:
        from edsel_assets import desk

        annotator: Annotator = getattr(context.resources, graph.named("annotator"))
        found = desk.answer(opened(context), config.order or None, annotator.open())
        for remark in found.remarks:
            context.log.info(remark)
        figures = {name: getattr(found, name) for name in ("answered", "rejected", "late", "open", "paid")}
        context.add_output_metadata({**figures, "remarks": list(found.remarks)})

    @dg.job(
        name=graph.named("order_prompts"),
        description="Freeze the next picks of a strategy as an order. A run that is executed again places no "
        "other order; launch the job anew for the next one.",
        executor_def=dg.in_process_executor,
    )
    def order_prompts() -> None:
        place_order()

    @dg.job(
        name=graph.named("export_order"),
        description="Write the prompts of an order to a file.",
        executor_def=dg.in_process_executor,
    )
    def export_order() -> None:
        write_order()

    @dg.job(
        name=graph.named("import_answers"),
        description="Take answers back and enter them once.",
        executor_def=dg.in_process_executor,
    )
    def import_answers() -> None:
        take_answers_back()

    @dg.job(
        name=graph.named("answer_order"),
        description="Let the study's annotator answer what is open in an order, or in all.",
        executor_def=dg.in_process_executor,
    )
    def answer_order() -> None:
        ask_the_annotator()

    return [order_prompts, export_order, import_answers, answer_order]
