"""Triggers, off until switched on in the UI: new files of the pool, and changed content upstream."""

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.outside import pool_source

_INTERVAL_SECONDS = 60


def build(graph: Graph, select: dg.JobDefinition) -> list[dg.SensorDefinition]:
    @dg.sensor(
        job=select,
        name="pool_files",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Selects anew when a file of the pool appears, goes, or changes.",
    )
    def pool_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from edsel_assets.pools import pool_files as listing
        from edsel_assets.store import fingerprint

        files = sorted(
            (str(path), size, changed) for path, size, changed in listing(pool_source(graph.study.pool))
        )
        seen = fingerprint(files=files)
        if seen == context.cursor:
            return dg.SkipReason(f"{len(files)} files, none new, gone or changed.")
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=seen, tags={"edsel/pool_files": seen})], cursor=seen
        )

    automation = dg.AutomationConditionSensorDefinition(
        "changed_content",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Makes signals, diagnostics, selections and the report again when parents changed.",
    )
    return [pool_files, automation]
