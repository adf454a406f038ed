"""What the trials of a report cannot show, in words: variance that no interval of it holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from edsel_assets.report.statistics.board import NORMAL, UNKNOWN, Board


def unseen_variance(
    boards: Mapping[str, Board],
    control: str,
    one_subset: Collection[str],
    incomplete: int,
    lost: Sequence[str],
) -> tuple[str, ...]:
    """A sentence for each kind of variance that the trials cannot show, or show too large.

    Args:
        boards: by task.
        one_subset: strategies that choose the same prompts whatever the seed.
        incomplete: trials without the score of a task.
        lost: names of scores that are not finite.
    """
    present = {str(s) for board in boards.values() for s in board.cells["strategy"]}
    fixed = sorted(present & set(one_subset))
    sentences = [*_seeds(boards), *_items(boards)]
    if fixed:
        sentences.append(
            f"One subset, whatever the seed: {', '.join(fixed)}. Their intervals and marks hold the noise of "
            "training and of the benchmark, and are for this very subset. How another pool of the same kind "
            "would change it is not seen: as statements on the strategy they err more often than they say."
        )
    if control in present and len(present) > 1:
        sentences.append("One pool, one base model and one set of tasks: intervals are for these.")
    if lost:
        sentences.append(f"Left out, as not finite: {_some(list(lost))}. Train or score them again.")
    if incomplete:
        sentences.append(f"{incomplete} trials lack the score of a task and are left out of the average.")
    return tuple(sentences)


def _seeds(boards: Mapping[str, Board]) -> list[str]:
    single = {
        f"{row.strategy} at {row.budget:,}"
        for board in boards.values()
        for row, n in zip(board.cells.itertuples(), board.noise.present.sum(axis=1), strict=True)
        if n == 1
    }
    if not single:
        return []
    repeated = any((board.noise.present.sum(axis=1) > 1).any() for board in boards.values())
    rest = (
        "Their spread over seeds is not seen; that of the other cells is taken for it."
        if repeated
        else "No spread over seeds is seen, so there is no interval and no mark."
    )
    return [f"One seed only: {_some(sorted(single))}. {rest}"]


def _items(boards: Mapping[str, Board]) -> list[str]:
    known = {task: how for board in boards.values() for task, how in board.items.items()}
    sentences = []
    for how, text in (
        (
            NORMAL,
            "from standard errors alone, apart for each cell; intervals are too wide, as cells share items",
        ),
        (UNKNOWN, "not known: intervals are for the very items of the benchmark"),
    ):
        tasks = sorted(task for task, found in known.items() if found == how)
        if tasks:
            sentences.append(f"Draw of the items of {_some(tasks)}: {text}.")
    return sentences


def _some(names: list[str], shown: int = 6) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
