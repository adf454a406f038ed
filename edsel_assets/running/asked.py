"""Whether this process works for the ``edsel`` command, or for Dagster's own commands alone.

``edsel`` and all that it starts (workers, the UI and its daemon) share an environment that says so. A project
that loads the definitions by ``dagster dev`` or ``dg`` has no such word in it.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edsel_assets.keys import CellKey
    from edsel_assets.study import Study

_WORD = "EDSEL_COMMAND"


def by_edsel() -> bool:
    """Whether the ``edsel`` command started this process, itself or by others."""
    return _WORD in os.environ


def note_edsel() -> None:
    """Say it to all that this process starts."""
    os.environ[_WORD] = "yes"


def make_command(study: Study, cell: CellKey) -> str:
    """The command that makes a cell, as a person here would type it."""
    if by_edsel():
        return f"edsel run --only {cell.asset}"
    key = "/".join(filter(None, (study.prefix, cell.asset)))
    partition = ["--partition", cell.partition] if cell.partition else []
    return shlex.join(["dagster", "asset", "materialize", "--select", key, *partition])
