"""What an annotator is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edsel_assets.annotation import AnswerRow, CheckedAnswers
from edsel_assets.annotation.answers import Keep


@dataclass(frozen=True)
class Asked:
    """One prompt that is asked for and not answered, rejected or replaced yet."""

    prompt_id: str
    order: str
    prompt: str


class Enter(Protocol):
    """Enters rows into the ledger of purchases, all or none, and pays them."""

    def __call__(
        self,
        rows: Sequence[AnswerRow],
        prices: Mapping[str, float] | None = None,
        keep: Keep | None = None,
    ) -> CheckedAnswers:
        """What was new in ``rows``, and what is open after them.

        Args:
            prices: what they did cost, where that is known.
            keep: ``first`` leaves a row out whose prompt has another answer by now.

        Raises:
            AnnotationError: a row is wrong, and nothing is entered.
        """


class Annotator(Protocol):
    """Somebody, or something, that answers prompts."""

    def problems(self) -> list[str]:
        """What is missing before it can answer, each with its remedy; asks and pays nothing."""

    def answer(self, asked: Sequence[Asked], enter: Enter) -> list[str]:
        """Enter what answers there are to ``asked``, a batch as soon as it is there; remarks for people.

        What it has no answer to stays open. Called again after it was stopped, it goes on, and pays
        nothing twice.
        """
