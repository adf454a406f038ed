"""The table of kinds of cells that everything else is derived from, as strategies are by ``STRATEGIES``.

One row for each asset, whatever its partition: what it reads, what decides its value, what it takes. The
graph in the UI, lineage, freshness, the checks before a run, estimates, the rehearsal and the fingerprints of
kept rows come from ``KINDS``: a new asset is its row here and its function. What cannot be said in a row is a
function named in the row. Nothing here computes a value, and nothing here knows Dagster.
"""

from __future__ import annotations

from typing import Any

from edsel_assets.kinds.deciding import flat, format_here, versions
from edsel_assets.kinds.kind import Kind
from edsel_assets.kinds.rows import (
    annotation,
    diagnostics,
    evaluation,
    finetuning,
    pool,
    report,
    rounds,
    selection,
    signals,
    targets,
)
from edsel_assets.kinds.sources import MODEL_FILES, SELECTING_FILES
from edsel_assets.study import Study

_GROUPS = (pool, annotation, signals, targets, diagnostics, selection, rounds, finetuning, evaluation, report)

KINDS: dict[str, Kind] = {row.name: row for group in _GROUPS for row in group.ROWS}


def study_of(study: Study, kind: str) -> Study:
    """The study as a kind reads it: its base model may be the one that selects."""
    return study.selecting if KINDS[kind].selecting else study


def settings_of(study: Study, kind: str, partition: str | None = None) -> dict[str, Any]:
    """The settings that decide a cell, by dotted name; without a partition, of the whole asset."""
    study, found = study_of(study, kind), dict[str, Any]()
    for each in KINDS[kind].settings:
        found |= flat(study, each) if isinstance(each, str) else each(study, partition)
    return {name: format_here(study, name, value) for name, value in found.items()}


def libraries_of(study: Study, kind: str, partition: str | None = None) -> dict[str, str]:
    """Versions of the libraries that decide a cell, by distribution."""
    return versions(_names(KINDS[kind].libraries, study, partition))


def external_of(study: Study, kind: str, partition: str | None = None) -> tuple[str, ...]:
    """Sources of the files outside the store that a cell reads; without a partition, any cell of the kind."""
    named = _names(KINDS[kind].external, study, partition)
    own = SELECTING_FILES if study_of(study, kind) is not study else MODEL_FILES
    return tuple(own if name == MODEL_FILES else name for name in named)


def _names(given: tuple[Any, ...], study: Study, partition: str | None) -> list[str]:
    found: dict[str, None] = {}
    for each in given:
        found |= dict.fromkeys([each] if isinstance(each, str) else each(study, partition))
    return list(found)


def code_version(study: Study, kind: str) -> str:
    """What Dagster shows: the version of the code and a hash of the asset's settings."""
    from edsel_assets.store import fingerprint

    return f"{KINDS[kind].version}-{fingerprint(**settings_of(study, kind))[:8]}"
