"""The pool that a study names: read once, and parted into what may be selected and what is held out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.keys import CellKey
from edsel_assets.pools import PoolReport, PoolSource, read_pool
from edsel_assets.stages.held_out import held_out_rows
from edsel_assets.store import Store, read_table
from edsel_assets.study import PoolSettings, Study


@dataclass(frozen=True)
class StudyPool:
    """A study's pool.

    Attributes:
        every: all its N prompts, ascending by id.
        held_out: (N,) bool.
        unanswered: prompts that were left out since they have no response.
        too_long: prompts that were left out since they are longer than ``pool.max_characters``.
        report: what became of each row read.
    """

    every: pa.Table
    held_out: np.ndarray
    unanswered: int
    too_long: int
    report: PoolReport

    @property
    def selectable(self) -> pa.Table:
        """The prompts that a strategy may take."""
        return self.every.filter(pa.array(~self.held_out))


def pool_source(settings: PoolSettings) -> PoolSource:
    """The study's pool as ``edsel_assets.pools`` reads it."""
    return PoolSource(**settings.model_dump(exclude={"annotations", "annotated_only", "max_characters"}))


def read_study_pool(study: Study) -> StudyPool:
    """Read the pool's files; PoolError or ValueError where they do not give what the study asks for."""
    report = read_pool(pool_source(study.pool))
    usable = answered_prompts(study.pool, report.table)
    table = short_prompts(study.pool, usable)
    marked = held_out_rows(table, study.evaluation.held_out, study.evaluation.held_out_seed)
    left_out = report.table.num_rows - usable.num_rows, usable.num_rows - table.num_rows
    return StudyPool(table, marked, *left_out, report)


def answered_prompts(settings: PoolSettings, table: pa.Table) -> pa.Table:
    """What ``pool.annotated_only`` leaves of a pool."""
    return table.filter(table["response"].is_valid()) if settings.annotated_only else table


def short_prompts(settings: PoolSettings, table: pa.Table) -> pa.Table:
    """What ``pool.max_characters`` leaves of a pool."""
    if settings.max_characters is None:
        return table
    return table.filter(pc.less_equal(pc.utf8_length(table["prompt"]), settings.max_characters))


def stored_prompts(store: Store) -> Iterator[tuple[str, str]]:
    """(id, prompt) of the pool as it lies in the store; nothing where it was not made yet."""
    file = store.table(CellKey("pool"))
    if file.exists():
        table = read_table(file, ["prompt_id", "prompt"])
        yield from zip(table["prompt_id"].to_pylist(), table["prompt"].to_pylist(), strict=True)
