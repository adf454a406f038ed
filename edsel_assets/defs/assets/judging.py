"""Group ``evaluation``: every trial's answers to instructions, and what a judge says of them."""

from pathlib import Path

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import Table, TableWithFiles
from edsel_assets.defs.metadata import preview, timed, versioned_output
from edsel_assets.defs.resources import BaseModel
from edsel_assets.planning.external import model_folder
from edsel_assets.study import JudgeSettings, Study


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    """No asset without the section ``evaluation.judge``; without a judge's name answers alone."""
    study = graph.study
    settings = study.evaluation.judge
    if settings is None:
        return []

    @graph.asset("generations")
    def generations(
        context: dg.AssetExecutionContext, base_model: BaseModel, lora_adapters: Path
    ) -> dg.Output:
        """What a trial's model answers to the study's instructions, greedy."""
        from edsel_assets.stages.evaluation.answers import write_answers
        from edsel_assets.stages.trials import finetuned

        model, tokenizer = base_model.open()
        with timed() as time, finetuned(model, lora_adapters) as trial:
            table = write_answers(trial, tokenizer, study)
        cut = table["ended"].to_pylist().count(False)
        return versioned_output(context, table, {"cut": cut, "preview": preview(table), **time})

    if settings.model is None:
        return [generations]
    reference = study.reference

    @graph.asset("win_rates")
    def win_rates(
        context: dg.AssetExecutionContext, generations: Table, **reference_answers: Table
    ) -> dg.Output:
        """The judge's word on a trial's answers: weighted win rate against the reference, or mean rating.

        Replies of a server are kept by content under the home, so that none is paid for twice.
        """
        from edsel_assets.stages.evaluation.judged import itself, judge_answers
        from edsel_assets.stages.evaluation.judges import open_judge

        with timed() as time:
            if reference is not None and reference == context.partition_key:
                judged = itself(generations, reference)
            else:
                load = _judge_model(study, settings).open
                judge = open_judge(settings, graph.home, load, study.evaluation.batch_tokens)
                others = reference_answers.get("reference_answers")
                judged = judge_answers(judge, settings, generations, others, reference)
        shown = {**judged.table.to_pylist()[0], "spent_by_this_home": judged.spent, "first_lost": judged.why}
        value = TableWithFiles(judged.table, items=judged.items)
        return versioned_output(context, value, {**shown, "preview": preview(judged.items), **time})

    if reference is None:
        return [generations, win_rates]

    @graph.asset("reference_answers")
    def reference_answers(context: dg.AssetExecutionContext, generations: Table) -> dg.Output:
        """The answers of the one trial that all others are compared with."""
        return versioned_output(context, generations, {"trial": reference, "preview": preview(generations)})

    return [generations, reference_answers, win_rates]


def _judge_model(study: Study, settings: JudgeSettings) -> BaseModel:
    """A local judge, loaded as the base model is."""
    return BaseModel(
        path=model_folder(str(settings.model)),
        revision=settings.revision,
        dtype=settings.dtype,
        device=study.model.device,
        threads=study.model.threads,
        trust_remote_code=False,
    )
