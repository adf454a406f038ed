"""Group ``signals``: what the model and the geometry of the pool say of every prompt."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import StoredTable, Table, TableWithFiles
from edsel_assets.defs.metadata import plot, preview, timed, versioned_output
from edsel_assets.defs.resources import BaseModel
from edsel_assets.kinds.checks import FINITE
from edsel_assets.running.dagster_internals import DEVICE_POOL
from edsel_assets.running.progress import progress_log

#: Both come from one pass over the prompts.
_ONE_PASS = ("embeddings", "token_probabilities")


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study, held = graph.study.selecting, graph.named("selecting_model")

    def spec(name: str) -> dg.AssetOut:
        declared = graph.declare(graph.assets[name])
        shared = {
            each: declared[each] for each in ("key", "group_name", "code_version", "kinds", "io_manager_key")
        }
        return dg.AssetOut(**shared, description=graph.described(graph.assets[name]), is_required=False)

    @dg.multi_asset(
        name=graph.named("forward_pass"),
        outs={name: spec(name) for name in _ONE_PASS},
        ins={"pool": dg.AssetIn(graph.key("pool"))},
        required_resource_keys={held},
        can_subset=True,
        pool=DEVICE_POOL,
    )
    def forward_pass(context: dg.AssetExecutionContext, pool: StoredTable) -> Iterator[dg.Output]:
        """Embeddings and token probabilities, from one pass over the prompts not seen before."""
        from edsel_assets.stages import signals

        selecting_model: BaseModel = getattr(context.resources, held)
        columns = ["prompt_id", "prompt"]
        if study.embeddings.input == "prompt_response":
            columns.append("response")
        texts = pool.read(columns)
        for name in sorted(context.op_execution_context.selected_output_names):
            compute = getattr(signals, name)
            with timed() as time:
                table, counts = compute(
                    study,
                    graph.home,
                    texts,
                    selecting_model.path,
                    selecting_model.open,
                    progress_log(context.log, name),
                )
            shown = {} if name == "embeddings" else {"preview": preview(table)}
            yield versioned_output(
                context,
                table,
                {**counts, **shown, **time, **selecting_model.reading()},
                output_name=name,
            )

    @graph.asset("uncertainty_scores")
    def uncertainty_scores(context: dg.AssetExecutionContext, token_probabilities: Table) -> Iterator[Any]:
        """How unsure the model is of its answer to each prompt; higher is more uncertain."""
        import pyarrow as pa

        from edsel_assets.llm import uncertainty
        from edsel_assets.report.plots import histogram
        from edsel_assets.stages.checks.tables import finite

        scores = uncertainty(
            token_probabilities,
            context.partition_key,
            entropy_sign=study.uncertainty.entropy_sign,
            length_normalised=study.uncertainty.length_normalised,
        )
        table = pa.table({"prompt_id": token_probabilities["prompt_id"], "score": scores})
        figures = {"mean": float(scores.mean()), "largest": float(scores.max())}
        yield from checked(context, {FINITE: finite(table)})
        yield versioned_output(
            context, table, {**figures, "scores": plot(histogram(scores, label=context.partition_key))}
        )

    @graph.asset("clusters")
    def clusters(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        embeddings: StoredTable,
        **other: StoredTable | None,
    ) -> dg.Output:
        """k-means over the embeddings: each prompt's cluster and distance, and the centroids."""
        from edsel_assets.report.plots import histogram
        from edsel_assets.stages.signals import cluster_pool

        source = other.get("other_embeddings") or embeddings
        count = int(context.partition_key.rpartition(".")[2])
        with timed() as time:
            table, found = cluster_pool(study, pool.read(["prompt_id"]), source.read(), count)
        value = TableWithFiles(table, {"centroids": found.centroids})
        sizes = table["cluster"].value_counts().field("counts").to_numpy()
        extremes = {"smallest": int(sizes.min()), "largest": int(sizes.max())}
        figures = {"clusters": len(found.centroids), "inertia": found.inertia, **extremes}
        shown = {
            "details": dg.MetadataValue.json(found.details),
            "sizes": plot(histogram(sizes, label="cluster size")),
        }
        return versioned_output(context, value, {**figures, **shown, **time})

    @graph.asset("quality_scores")
    def quality_scores(
        context: dg.AssetExecutionContext,
        base_model: BaseModel,
        pool: StoredTable,
        token_probabilities: StoredTable,
    ) -> Iterator[Any]:
        """Quality and complexity of each prompt by a scorer, on its own scale; higher is better, harder."""
        from edsel_assets.report.plots import histogram
        from edsel_assets.stages.checks.tables import finite
        from edsel_assets.stages.scoring import quality

        scorer = context.partition_key
        # A scorer reads one of the two; the other may be no input of the study.
        sources = quality.Sources(
            lambda columns: pool.read(columns),
            lambda columns: token_probabilities.read(columns),
            base_model.path,
            base_model.open,
        )
        log = progress_log(context.log, "quality_scores")
        with timed() as time:
            table, counts = quality.quality_scores(study, scorer, graph.home, sources, log)
        name, scores = quality.shown_score(table)
        shown = {
            "scores": plot(histogram(scores, label=f"{scorer}: {name}")),
            "qualities": plot(histogram(table["quality"].to_numpy(), label="quality")),
            "lowest": preview(table.sort_by("quality").slice(0, 10)),
        }
        yield from checked(context, {FINITE: finite(table)})
        yield versioned_output(context, table, {**counts, **shown, **time})

    assets = [forward_pass, uncertainty_scores, clusters, quality_scores]
    return [*assets, _other_embeddings(graph)] if "other_embeddings" in graph.assets else assets


def _other_embeddings(graph: Graph) -> dg.AssetsDefinition:
    study = graph.study.selecting

    @graph.asset("other_embeddings")
    def other_embeddings(
        context: dg.AssetExecutionContext, base_model: BaseModel, pool: StoredTable
    ) -> dg.Output:
        """Embeddings by another model, for variants of strategies."""
        from edsel_assets.stages import signals

        one = study.with_embeddings(context.partition_key)
        columns = [
            "prompt_id",
            "prompt",
            *(["response"] if one.embeddings.input == "prompt_response" else []),
        ]
        log = progress_log(context.log, "embeddings")
        with timed() as time:
            table, counts = signals.embeddings(
                one, graph.home, pool.read(columns), base_model.path, base_model.open, log
            )
        return versioned_output(context, table, {**counts, **time})

    return other_embeddings
