"""What two lists of prompts have in common, and what not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Moved:
    """A prompt that both have, at another rank; ranks count from 0."""

    prompt_id: str
    before: int
    after: int


@dataclass(frozen=True)
class Change:
    """How two lists of prompts differ.

    Attributes:
        group: what they are lists of, such as ``replicate 1``; "" where there is one list only.
        only_a, only_b: (rank, prompt_id) of prompts that the other has not, by rank.
        moved: prompts of both at another rank, by rank in A.
        both: how many prompts both have.
    """

    group: str
    only_a: tuple[tuple[int, str], ...]
    only_b: tuple[tuple[int, str], ...]
    moved: tuple[Moved, ...]
    both: int

    @property
    def same(self) -> bool:
        return not (self.only_a or self.only_b or self.moved)


def compare(a: Mapping[str, Sequence[str]], b: Mapping[str, Sequence[str]]) -> list[Change]:
    """One change for each group of either side, in A's order; a group that is absent has no prompts.

    Args:
        a, b: by group, prompt ids in the order of their rank.
    """
    return [_change(group, a.get(group, ()), b.get(group, ())) for group in dict.fromkeys((*a, *b))]


def _change(group: str, a: Sequence[str], b: Sequence[str]) -> Change:
    before, after = _ranks(a), _ranks(b)
    return Change(
        group,
        tuple((rank, key) for key, rank in before.items() if key not in after),
        tuple((rank, key) for key, rank in after.items() if key not in before),
        tuple(Moved(key, rank, after[key]) for key, rank in before.items() if after.get(key, rank) != rank),
        sum(key in after for key in before),
    )


def _ranks(ids: Sequence[str]) -> dict[str, int]:
    """The first rank of each prompt: draws with replacement repeat some."""
    found: dict[str, int] = {}
    for rank, key in enumerate(ids):
        found.setdefault(key, rank)
    return found
