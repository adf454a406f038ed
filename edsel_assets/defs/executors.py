"""How the steps of one run in the UI are executed."""

import dagster as dg


def executor(max_concurrent: int = 2) -> dg.ExecutorDefinition:
    """Each step in a process of its own, spawned: a forked one inherits torch's threads and locks."""
    return dg.multiprocess_executor.configured(
        {"max_concurrent": max_concurrent, "start_method": {"spawn": {}}}, name="spawned_processes"
    )
