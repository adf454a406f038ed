"""The triggers that a study declares: a schedule for each clock, a sensor for each that watches.

They only declare; ``planning.watching`` decides, and the planner says what a run makes.
"""

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.jobs import run_config
from edsel_assets.study import TriggerSettings


def build(
    graph: Graph, job: dg.JobDefinition
) -> tuple[list[dg.ScheduleDefinition], list[dg.SensorDefinition]]:
    """Schedules and sensors that start ``job`` with their targets.

    Raises:
        ValueError: a target that is no asset.
    """
    names = set(graph.assets)
    schedules, sensors = [], []
    for trigger in graph.study.triggers:
        unknown = sorted(trigger.assets - names)
        if unknown:
            raise ValueError(
                f"triggers: {trigger.name} has the target {unknown[0]}, which is no asset; name some of "
                f"{', '.join(sorted(names))}."
            )
        if trigger.cron is not None:
            schedules.append(_schedule(graph, job, trigger, trigger.cron))
        else:
            sensors.append(_sensor(graph, job, trigger))
    return schedules, sensors


def _schedule(
    graph: Graph, job: dg.JobDefinition, trigger: TriggerSettings, cron: str
) -> dg.ScheduleDefinition:
    status = dg.DefaultScheduleStatus

    @dg.schedule(
        job=job,
        name=graph.named(trigger.name),
        cron_schedule=cron,
        execution_timezone=trigger.timezone,
        default_status=status.RUNNING if trigger.active else status.STOPPED,
        description=_words(trigger),
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from edsel_assets.planning.freshness import Freshness
        from edsel_assets.planning.watching import due

        found = due(trigger, Freshness(graph.study, graph.lineage, graph.home))
        context.log.info(found.message)
        return _request(graph, trigger, found.message, None) if found.launch else dg.SkipReason(found.message)

    return schedule


def _sensor(graph: Graph, job: dg.JobDefinition, trigger: TriggerSettings) -> dg.SensorDefinition:
    status = dg.DefaultSensorStatus

    @dg.sensor(
        job=job,
        name=graph.named(trigger.name),
        minimum_interval_seconds=trigger.seconds,
        default_status=status.RUNNING if trigger.active else status.STOPPED,
        description=_words(trigger),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from edsel_assets.planning.freshness import Freshness
        from edsel_assets.planning.watching import look

        found = look(trigger, Freshness(graph.study, graph.lineage, graph.home), context.cursor)
        context.log.info(found.message)
        if found.launch:
            return dg.SensorResult([_request(graph, trigger, found.message, found.key)], cursor=found.cursor)
        return dg.SensorResult(skip_reason=found.message, cursor=found.cursor)

    return sensor


def _request(graph: Graph, trigger: TriggerSettings, cause: str, key: str | None) -> dg.RunRequest:
    tags = {"edsel/trigger": trigger.name, "edsel/cause": cause}
    if trigger.reason:
        tags["edsel/reason"] = trigger.reason
    return dg.RunRequest(run_key=key, run_config=run_config(graph.study, trigger.assets), tags=tags)


def _words(trigger: TriggerSettings) -> str:
    what = f"Makes what is stale of {', '.join(sorted(trigger.assets))}"
    when = "" if trigger.cron else f" when {', '.join(trigger.watch)} changed"
    return f"{trigger.reason} {what}{when}.".strip()
