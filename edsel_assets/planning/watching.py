"""What a trigger sees: whether anything that it watches changed by content, and what follows from that.

The first look records and starts nothing. A later one compares with what was recorded. It remembers by a
text, the cursor, which Dagster keeps between looks.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edsel_assets.kinds import code_version, sources
from edsel_assets.planning.cells import Cell, Scope, cells_in
from edsel_assets.planning.freshness import Freshness
from edsel_assets.planning.plan import plan
from edsel_assets.planning.reasons import Reason, file_differences
from edsel_assets.study import TriggerSettings

_SHOWN = 3
_SOURCES = {
    "pool": (sources.POOL_FILES,),
    "answers": (sources.ANNOTATION_FILES, sources.PURCHASE_FILES),
    "orders": (sources.ORDER_FILES,),
    "model": (sources.MODEL_FILES,),
    "tasks": (sources.TASK_FILES,),
}
_POOL = "pool/"


class Seen(BaseModel):
    """What a trigger remembers.

    Attributes:
        content: hash by name of what it watched, as of the last launch or, before that, the first look.
        pool: hash of the prompts in the pool's files then; "" where it does not watch them.
        launches: how often it started a run; it makes the name of each one's request.
        judged: hash of a change that was looked into and did not lead to a run.
        message: why not.
    """

    model_config = ConfigDict(extra="forbid")

    content: dict[str, str]
    pool: str = ""
    launches: int = 0
    judged: str = ""
    message: str = ""


@dataclass(frozen=True)
class Look:
    """Outcome of a look: whether to start a run, the reason in words, what to remember, the run's own key."""

    launch: bool
    message: str
    cursor: str | None
    key: str = ""


def look(trigger: TriggerSettings, freshness: Freshness, cursor: str | None) -> Look:
    """Compare what ``trigger`` watches with what ``cursor`` remembers of it.

    What cannot be read is a reason to start nothing, named in the message; it is looked at again next time.
    """
    try:
        content = watched(trigger, freshness)
        seen = _remembered(cursor)
        if seen is None:
            message = (
                f"Recorded {_count(len(content), 'name')} to compare with. The first look starts nothing."
            )
            pool = pool_change(freshness).content if "pool" in trigger.watch else ""
            return Look(False, message, Seen(content=content, pool=pool).model_dump_json())
        return _compared(trigger, freshness, seen, content)
    except (ValueError, OSError) as error:
        return Look(False, " ".join(str(error).split()), cursor)


def due(trigger: TriggerSettings, freshness: Freshness) -> Look:
    """Whether anything of the targets is to be made, whatever changed: what a schedule asks."""
    try:
        steps = plan(freshness, Scope(assets=trigger.assets)).certain
        if any(step.cell == Cell("pool") for step in steps):
            pool_change(freshness)  # so that a file that cannot be read stops it here
    except (ValueError, OSError) as error:
        return Look(False, " ".join(str(error).split()), None)
    if not steps:
        return Look(False, "Every target is fresh.", None)
    return Look(True, _listed([f"{step.cell}: {step.why}" for step in steps]), None)


def watched(trigger: TriggerSettings, freshness: Freshness) -> dict[str, str]:
    """Hash by name of all that ``trigger`` watches, as it is now."""
    found: dict[str, str] = {}
    for name in trigger.watch:
        if name == "settings":
            kinds = {cell.kind for cell in cells_in(freshness.lineage, Scope(assets=trigger.assets))}
            found |= {f"settings of {kind}": code_version(freshness.study, kind) for kind in kinds}
        else:
            for source in _SOURCES[name]:
                found |= freshness.external.source(source)
    return found


@dataclass(frozen=True)
class PoolChange:
    """How the prompts in the pool's files differ from the stored pool's.

    Attributes:
        joined, left: prompts that are in the files alone, and in the stored pool alone.
        content: hash of the files' prompts with all that is known of them.
    """

    joined: int
    left: int
    content: str

    def __str__(self) -> str:
        if not self.joined and not self.left:
            return "no prompt joined or left the pool"
        parts = {"joined": self.joined, "left": self.left}
        return ", ".join(f"{_count(n, 'prompt')} {verb}" for verb, n in parts.items() if n) + " the pool"


def pool_change(freshness: Freshness) -> PoolChange:
    """Read the pool's files and compare them with the stored pool; about 20 s for a million prompts.

    Raises:
        PoolError: naming the file that cannot be read.
    """
    from edsel_assets.planning.recording import content_of
    from edsel_assets.stages.pools import read_study_pool
    from edsel_assets.store import read_table

    table = read_study_pool(freshness.study).selectable
    now = set(table["prompt_id"].to_pylist())
    ledger = freshness.ledger(Cell("pool"))
    before: set[Any] = set()
    if ledger is not None:
        path = freshness.store.table(Cell("pool"))
        before = set(read_table(path, ["prompt_id"])["prompt_id"].to_pylist())
    return PoolChange(len(now - before), len(before - now), content_of(table).value)


def _compared(trigger: TriggerSettings, freshness: Freshness, seen: Seen, content: dict[str, str]) -> Look:
    from edsel_assets.store import fingerprint

    changes = file_differences(seen.content, content)
    if not changes:
        return Look(False, "Nothing that it watches changed.", seen.model_dump_json())
    stored = freshness.ledger(Cell("pool"))
    mark = fingerprint(content=content, pool=stored.content if stored else None)
    if mark == seen.judged:
        return Look(False, seen.message, seen.model_dump_json())
    change = None
    try:
        if any(each.name.startswith(_POOL) for each in changes):
            change = pool_change(freshness)
        decision, why = _decide(trigger, freshness, changes, change, seen.pool)
    except (ValueError, OSError) as error:
        decision, why = Decision.WAIT, " ".join(str(error).split())
    message = f"{_listed([*map(str, changes)])}: {why}"
    if decision is Decision.WAIT:
        waits = seen.model_copy(update={"judged": mark, "message": message})
        return Look(False, message, waits.model_dump_json())
    launch = decision is Decision.LAUNCH
    pool = seen.pool if change is None else change.content
    after = Seen(content=content, pool=pool, launches=seen.launches + launch)
    return Look(launch, message, after.model_dump_json(), f"{after.launches}-{mark}")


class Decision(Enum):
    """What a change leads to: a run, nothing, or another look once more has changed."""

    LAUNCH = "launch"
    PASS = "pass"
    WAIT = "wait"


def _decide(
    trigger: TriggerSettings,
    freshness: Freshness,
    changes: list[Reason],
    change: PoolChange | None,
    before: str,
) -> tuple[Decision, str]:
    """What ``changes`` lead to, and why; ``before`` is the hash of the pool's prompts as remembered."""
    if change is not None and all(each.name.startswith(_POOL) for each in changes):
        if change.content == before:
            return Decision.PASS, "the prompts are the same"
        if change.joined < trigger.minimum_new:
            return Decision.WAIT, f"{change}; it waits for {trigger.minimum_new} new ones"
    if not plan(freshness, Scope(assets=trigger.assets)).certain:
        return Decision.PASS, "every target is fresh"
    return Decision.LAUNCH, "a target is stale" if change is None else str(change)


def _remembered(cursor: str | None) -> Seen | None:
    """None where there is no cursor, or one of another version: then the next look records anew."""
    try:
        return None if cursor is None else Seen.model_validate_json(cursor)
    except ValidationError:
        return None


def _listed(words: list[str]) -> str:
    more = len(words) - _SHOWN
    return "; ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
