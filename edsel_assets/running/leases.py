"""What a run holds while it makes cells: one rule for a command, the UI, a job, a schedule and a sensor.

A cell that holds the device, GPU or CPU, is made in one of the places that the home has for models on this
machine, whoever started it; a run that finds none waits. Dagster's own queue holds back the runs that it
starts by the same limit, and no others, such as those of a command or a job.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import dagster as dg

from edsel_assets.machine import models_at_once
from edsel_assets.planning.cells import Cell
from edsel_assets.running.dagster_internals import DEVICE_POOL
from edsel_assets.store import Home
from edsel_assets.store.locks import hold_cells, hold_one
from edsel_assets.study import Study


@contextmanager
def hold_for(
    study: Study,
    home: Home,
    instance: dg.DagsterInstance | None,
    cells: Sequence[Cell],
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold what it takes to make ``cells``: a place for a model where one of them needs it, and their leases.

    In this order everywhere: who holds the lease of such a cell never waits for a place. So who waits in a
    place for a cell that another makes waits for one that comes to its end.

    Args:
        waiting: told for whom and for what it waits.
    """
    store = home.store(study.name)
    if not any(cell.row.device(study) for cell in cells):
        with hold_cells(store, cells, waiting=waiting):
            yield
        return
    limit = device_limit(instance)
    what = f"a model is held (at most {limit} at a time: pools.default_limit in dagster.yaml)"
    purpose = f"{cells[0]} of {study.name}"
    places = home.device_leases(limit)
    with (
        hold_one(places, what, purpose=purpose, waiting=waiting),
        hold_cells(store, cells, waiting=waiting),
    ):
        yield


def device_limit(instance: dg.DagsterInstance | None) -> int:
    """How many runs may hold a model at a time: what Dagster's UI or dagster.yaml says of the pool."""
    if instance is not None:
        for pool in instance.event_log_storage.get_pool_limits():
            if pool.name == DEVICE_POOL and not pool.from_default:
                return max(1, pool.limit)
        if instance.global_op_concurrency_default_limit is not None:
            return max(1, instance.global_op_concurrency_default_limit)
    return models_at_once()
