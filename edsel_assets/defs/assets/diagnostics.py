"""Group ``diagnostics``: what to set before annotation: embeddings, kernel width, number of clusters."""

from typing import Any

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import StoredTable, Table, TableWithFiles
from edsel_assets.defs.metadata import plot, preview, timed, versioned_output
from edsel_assets.defs.resources import BaseModel
from edsel_assets.running.progress import progress_log


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    study = graph.study

    @graph.asset("embedding_geometry")
    def embedding_geometry(
        context: dg.AssetExecutionContext, base_model: BaseModel, pool: StoredTable, embeddings: StoredTable
    ) -> dg.Output:
        """How embeddings lie before and after their transform: cone, effective dimension, twins."""
        from edsel_assets.report.geometry_plots import cosines
        from edsel_assets.stages.signals import raw_embeddings
        from edsel_assets.stages.vectors.geometry import geometries, geometry_table

        answers = ["response"] if study.embeddings.input == "prompt_response" else []
        texts, log = pool.read(["prompt_id", "prompt", "task", *answers]), progress_log(context.log, "rows")
        with timed() as time:
            raw, _ = raw_embeddings(study, graph.home, texts, base_model.path, base_model.open, log)
            found = geometries(study, texts, raw, embeddings.read())
        table = geometry_table(found)
        shown: dict[str, Any] = {"figures": preview(table)}
        if found:
            pairs = {name: one.pairs for name, one in found.items()}
            shown["cosines"] = plot(cosines(pairs, {name: one.nearest for name, one in found.items()}))
        return versioned_output(context, table, {**shown, **time})

    @graph.asset("kernel_width")
    def kernel_width(
        context: dg.AssetExecutionContext, pool: StoredTable, embeddings: StoredTable
    ) -> dg.Output:
        """Gain of each further prompt for several kernel widths (Bhatt et al. 2024, Figure 3)."""
        from edsel_assets.report.plots import gain_curves
        from edsel_assets.stages.diagnostics import gain_table, largest_count, widths

        with timed() as time:
            ids = pool.read(["prompt_id"])
            curves, usable, chosen = widths(study, ids, embeddings.read(), pool.read)
        picture = gain_curves(curves, budget=largest_count(study, pool.show), usable=usable, chosen=chosen)
        largest = max(usable) if usable else "none: all saturate before the budget"
        shown = {"gamma": chosen, "largest_unsaturated": largest, "gains": plot(picture)}
        return versioned_output(context, gain_table(curves), {**shown, **time})

    @graph.asset("cluster_count")
    def cluster_count(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        embeddings: StoredTable,
        clusters: dict[str, TableWithFiles],
    ) -> dg.Output:
        """Silhouette and inertia by number of clusters (Yu et al. 2024, Figure 3): advice, not proof."""
        from edsel_assets.report.plots import cluster_counts
        from edsel_assets.stages.diagnostics import compare_counts

        with timed() as time:
            table = compare_counts(
                pool.read(["prompt_id"]),
                embeddings.read(),
                {int(k): v for k, v in clusters.items()},
                study.clustering.seed,
            )
        shown = {
            "curve": plot(
                cluster_counts(
                    *(table[name].to_pylist() for name in ("clusters", "silhouette", "inertia")),
                    chosen=study.clustering.chosen,
                )
            ),
            "preview": preview(table, rows=40),
        }
        return versioned_output(context, table, {**shown, **time})

    @graph.asset("cluster_quality")
    def cluster_quality(
        context: dg.AssetExecutionContext,
        pool: StoredTable,
        clusters: dict[str, TableWithFiles],
        quality_scores: Table,
    ) -> dg.Output:
        """Share of clusters of low mean quality, by number of clusters (Yu et al. 2024, Figure 4)."""
        from edsel_assets.report.plots import low_quality_share
        from edsel_assets.stages.diagnostics import poor_clusters
        from edsel_assets.stages.scoring.quality import poor_below

        found = {int(k): v for k, v in clusters.items()}
        below = poor_below(study, quality_scores)
        table = poor_clusters(pool.read(["prompt_id"]), found, quality_scores, below)
        shown = {
            "scorer": study.quality.scorer,
            "threshold": below,
            "share": plot(
                low_quality_share(
                    table["clusters"].to_pylist(),
                    table["share"].to_pylist(),
                    threshold=below,
                )
            ),
            "preview": preview(table, rows=40),
        }
        return versioned_output(context, table, shown)

    return [embedding_geometry, kernel_width, cluster_count, cluster_quality]
