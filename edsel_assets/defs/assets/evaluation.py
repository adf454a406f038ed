"""Group ``evaluation``: scores of the base model and of every trial."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import Table, TableWithFiles
from edsel_assets.defs.metadata import preview, timed, versioned_output
from edsel_assets.defs.resources import BaseModel
from edsel_assets.kinds.checks import FINITE, NO_BENCHMARK_ITEM
from edsel_assets.planning.external import External
from edsel_assets.running.instance import REMARKS

if TYPE_CHECKING:
    from edsel_assets.stages.trials import Scored
else:
    Scored = Any  # its module imports pyarrow, which takes as long as loading the definitions


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study

    @graph.asset("held_out")
    def held_out(context: dg.AssetExecutionContext, orders: Table, purchases: Table) -> dg.Output:
        """Answered prompts that no strategy may take, and those bought to validate: to score trials on."""
        from edsel_assets.desk.tables import validation_answers
        from edsel_assets.stages.held_out import held_out_table
        from edsel_assets.stages.pools import read_study_pool

        with timed() as time:
            found = read_study_pool(study)
        table = held_out_table(found.every, found.held_out, validation_answers(orders, purchases))
        return versioned_output(context, table, {"preview": preview(table), **time})

    @graph.asset("base_scores")
    def base_scores(
        context: dg.AssetExecutionContext, base_model: BaseModel, held_out: Table
    ) -> Iterator[Any]:
        """Benchmark scores of the base model: the curve's point at zero annotations."""
        from edsel_assets.stages.checks.contamination import benchmark_items
        from edsel_assets.stages.checks.tables import finite
        from edsel_assets.stages.pools import stored_prompts
        from edsel_assets.stages.trials import benchmark_texts, evaluate_study, nothing_to_score
        from edsel_assets.stages.vectors.targets import query_prompts

        read = chain(stored_prompts(graph.store), query_prompts(study))
        shared = benchmark_items(read, benchmark_texts(study))
        yield from checked(context, {NO_BENCHMARK_ITEM: shared})
        if why := nothing_to_score(study, held_out):
            yield from nothing_scored(context, why)
            return
        with timed() as time:
            scored = evaluate_study(*base_model.open(), study, held_out)
        yield from checked(context, {FINITE: finite(scored.table)})
        yield scored_output(graph, context, scored, {**time, **base_model.reading()})

    @graph.asset("benchmark_scores")
    def benchmark_scores(
        context: dg.AssetExecutionContext, base_model: BaseModel, held_out: Table, lora_adapters: Path
    ) -> Iterator[Any]:
        """lm-eval scores and held-out losses of one trial."""
        from edsel_assets.stages.checks.tables import finite
        from edsel_assets.stages.trials import evaluate_study, finetuned, nothing_to_score, wants_whole

        if why := nothing_to_score(study, held_out):
            yield from nothing_scored(context, why)
            return
        model, tokenizer = base_model.open()
        with timed() as time, finetuned(model, lora_adapters, whole=wants_whole(study)) as trial:
            scored = evaluate_study(trial, tokenizer, study, held_out)
        yield from checked(context, {FINITE: finite(scored.table)})
        yield scored_output(graph, context, scored, {**time, **base_model.reading()})

    return [held_out, base_scores, benchmark_scores]


def scored_output(
    graph: Graph, context: dg.AssetExecutionContext, scored: Scored, seconds: dict[str, Any]
) -> dg.Output:
    """A model's scores with their values by item, and the data sets that tasks were found to read."""
    table = scored.table
    return versioned_output(
        context,
        TableWithFiles(table, items=scored.items),
        {**_headline(table), "preview": preview(table), **seconds},
        data_sets=External(graph.study, graph.home).data_sets(scored.files),
    )


def nothing_scored(context: dg.AssetExecutionContext, why: str) -> Iterator[Any]:
    """Scores without a row, with the reason."""
    from edsel_assets.stages.checks import Finding
    from edsel_assets.stages.evaluation.items import ITEMS
    from edsel_assets.stages.trials import SCORES

    empty = TableWithFiles(SCORES.empty_table(), items=ITEMS.empty_table())
    yield from checked(context, {FINITE: Finding(figures={"note": why})})
    yield versioned_output(context, empty, {REMARKS: why})


def _headline(table: Table) -> dict[str, float]:
    """One history plot per task and metric in the UI."""
    return {f"{row['task']}/{row['metric']}": row["value"] for row in table.to_pylist()}
