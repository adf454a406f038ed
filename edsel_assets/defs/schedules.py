"""Re-selection by the clock, off until switched on in the UI."""

import dagster as dg


def build(select: dg.JobDefinition) -> list[dg.ScheduleDefinition]:
    reselect = dg.ScheduleDefinition(
        name="reselect_nightly",
        job=select,
        cron_schedule="0 3 * * *",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Select anew every night; does nothing where neither pool nor study changed.",
    )
    return [reselect]
