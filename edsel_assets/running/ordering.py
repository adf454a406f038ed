"""The desk of a study, opened on the runner and on Dagster's log."""

import dagster as dg

from edsel_assets.desk import Desk
from edsel_assets.running.instance import show_orders
from edsel_assets.running.local import Listener, materialize
from edsel_assets.store import Home
from edsel_assets.study import Study


def open_desk(
    study: Study,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    home: Home,
    listener: Listener | None = None,
) -> Desk:
    """The desk of ``study``, whose cells are made in this process."""
    told = listener or Listener()
    return Desk(
        study,
        home,
        make=lambda scope: materialize(study, definitions, instance, home, scope, told),
        changed=lambda: show_orders(instance, home.store(study.name)),
        waiting=told.waiting,
    )
