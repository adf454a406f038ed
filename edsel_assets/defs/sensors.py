"""A trigger, off until switched on in the UI: selects anew when the planner finds a stale selection."""

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.jobs import scope_of

_INTERVAL_SECONDS = 30
_SHOWN = 3


def build(graph: Graph, select: dg.JobDefinition) -> list[dg.SensorDefinition]:
    @dg.sensor(
        job=select,
        name="stale_selections",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Selects anew when a file of the pool, an answer or a setting made a selection stale.",
    )
    def stale_selections(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        """What was never made is left to a person; only what is stale starts a run."""
        from edsel_assets.planning.freshness import Freshness, State
        from edsel_assets.planning.plan import plan
        from edsel_assets.store import fingerprint

        steps = plan(Freshness(graph.study, graph.lineage, graph.home), scope_of(graph, "select")).certain
        stale = [step for step in steps if step.state is not State.MISSING]
        if not stale:
            return dg.SkipReason("Every selection that was made is fresh.")
        reasons = [f"{step.cell}: {'; '.join(step.reasons)}" for step in stale]
        seen = fingerprint(reasons=reasons)
        if seen == context.cursor:
            return dg.SkipReason("A run for these reasons was asked for already.")
        tags = {"edsel/reason": "; ".join(reasons[:_SHOWN])[:250]}
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=seen, tags=tags)], cursor=seen)

    return [stale_selections]
