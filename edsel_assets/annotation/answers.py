"""Answers that came back, held against what was asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.events import Event, utc
from edsel_assets.annotation.formats.row import AnswerRow
from edsel_assets.annotation.purchases import Purchase
from edsel_assets.pools import normalise

Keep = Literal["first", "last"]
_NAMED = 3


@dataclass(frozen=True)
class Answer:
    """One accepted row: the id as it was asked for, and the response in normal form."""

    prompt_id: str
    response: str
    who: str | None = None
    when: str = ""
    reason: str | None = None


@dataclass(frozen=True)
class CheckedAnswers:
    """What a file of answers holds.

    Attributes:
        answered: new answers, at most one for each prompt.
        rejected: prompts that the annotators will not answer, and who said so.
        late: answers to prompts that were replaced, or whose order was cancelled, in the meantime.
        open: ids asked for that are still without an answer afterwards.
        already: prompts whose answer or rejection the ledger has already.
        repeated: rows that say what another row says of the same prompt, or were left out by ``keep``.
        unknown: places of rows that were left out as their id was never asked for.
    """

    answered: tuple[Answer, ...]
    rejected: tuple[Answer, ...]
    late: tuple[Answer, ...]
    open: tuple[str, ...]
    already: int
    repeated: int
    unknown: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Rows or prompts of each kind, for people."""
        return {
            "answered": len(self.answered),
            "rejected": len(self.rejected),
            "late": len(self.late),
            "open": len(self.open),
            "recorded already": self.already,
            "repeated rows": self.repeated,
            "unknown rows": len(self.unknown),
        }

    def events(self, state: Mapping[str, Purchase], prices: Mapping[str, float] | None = None) -> list[Event]:
        """What to append to the ledger. A price by prompt_id replaces the one that was asked at."""
        kinds = (("answered", self.answered), ("rejected", self.rejected), ("late", self.late))
        return [
            Event(
                event,
                state[answer.prompt_id].order,
                answer.prompt_id,
                who=answer.who,
                when=answer.when,
                price=(prices or {}).get(answer.prompt_id),
                status=answer.reason,
                response=answer.response or None,
            )
            for event, answers in kinds
            for answer in answers
        ]


def check_answers(
    rows: Iterable[AnswerRow],
    state: Mapping[str, Purchase],
    *,
    order: str | None = None,
    keep: Keep | None = None,
    skip_unknown: bool = False,
) -> CheckedAnswers:
    """Hold ``rows`` against the ledger's ``state``; nothing is written.

    - An id may differ in case and in white space around it where that names one prompt only.
    - A row without a response is open, unless it is rejected. Not every prompt needs a row.
    - Of several rows for one prompt, identical answers are one. An answer beats a rejection.
      Different answers are an error, unless ``keep`` says which row counts.
    - A prompt that was replaced or cancelled gets a late answer; its rejection changes nothing.

    Args:
        order: only this order's prompts are known.
        skip_unknown: leave rows out whose id was never asked for, instead of refusing the file.

    Raises:
        AnnotationError: naming the row: an unknown id, a response that is not text, two different
            answers, or an answer that differs from the recorded one.
    """
    if keep not in (None, "first", "last"):
        raise AnnotationError(f"Of several answers to one prompt, keep the first or the last; got {keep!r}.")
    known = {key for key, bought in state.items() if order is None or bought.order == order}
    found, unknown, places = _by_prompt(rows, known)
    if unknown and not skip_unknown:
        raise AnnotationError(_unknown(unknown, state, order))
    new: dict[str, list[Answer]] = {"answered": [], "rejected": [], "late": []}
    already = repeated = 0
    for key, group in found.items():
        row, dropped = _chosen(key, group, keep)
        repeated += dropped
        if row is None:
            continue
        response = "" if row.rejected else normalise(row.response)
        answer = Answer(key, response, row.who, utc(row.when, row.place) if row.when else "", row.reason)
        kind = _kind(answer, row, state[key], keep)
        if kind is None:
            already += 1
        else:
            new[kind].append(answer)
    closed = {answer.prompt_id for answer in new["answered"] + new["rejected"]}
    remaining = tuple(sorted(key for key in known if state[key].status == "asked" and key not in closed))
    return CheckedAnswers(
        answered=tuple(new["answered"]),
        rejected=tuple(new["rejected"]),
        late=tuple(new["late"]),
        open=remaining,
        already=already,
        repeated=repeated,
        unknown=tuple(places),
    )


def _by_prompt(
    rows: Iterable[AnswerRow], known: Collection[str]
) -> tuple[dict[str, list[AnswerRow]], list[AnswerRow], list[str]]:
    """Rows by the id that was asked for, in order; and those of no such id."""
    forgiving: dict[str, list[str]] = {}
    for key in known:
        forgiving.setdefault(_folded(key), []).append(key)
    found: dict[str, list[AnswerRow]] = {}
    unknown = []
    for row in rows:
        key = row.prompt_id
        if not isinstance(key, str) or not key.strip():
            raise AnnotationError(
                f"{row.place}: prompt_id should be text, but is {key!r:.60}. Add it or remove the row."
            )
        near = [key] if key in known else forgiving.get(_folded(key), [])
        if not near and row.other_id is not None and row.other_id in known:
            near = [row.other_id]
        if len(near) == 1:
            found.setdefault(near[0], []).append(row)
        else:
            unknown.append(row)
    return found, unknown, [row.place for row in unknown]


def _folded(key: str) -> str:
    return key.strip().casefold()


def _unknown(unknown: Sequence[AnswerRow], state: Mapping[str, Purchase], order: str | None) -> str:
    named = "; ".join(
        f"{row.place}: {row.prompt_id!r:.60}"
        + (f" is of {state[row.prompt_id].order}" if row.prompt_id in state else "")
        for row in unknown[:_NAMED]
    )
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    where = f"in {order}" if order else "in any order"
    return (
        f"Not asked for {where}: {named}{more}. Check the file and the order, or leave such rows out with "
        "--skip-unknown."
    )


def _chosen(key: str, group: Sequence[AnswerRow], keep: Keep | None) -> tuple[AnswerRow | None, int]:
    """The row that counts for one prompt (None: it is open), and how many others say no more."""
    answers = [row for row in group if not row.rejected and _given(row)]
    if not answers:
        refusals = [row for row in group if row.rejected]
        return (refusals[0], len(refusals) - 1) if refusals else (None, len(group) - 1)
    different = {normalise(row.response) for row in answers}
    if len(different) > 1 and keep is None:
        other = next(row for row in answers if normalise(row.response) != normalise(answers[0].response))
        raise AnnotationError(
            f"{other.place}: prompt {key} has another answer in {answers[0].place}. Remove one row, or say "
            "which one counts with --keep first or --keep last."
        )
    return answers[-1 if keep == "last" else 0], len(group) - 1


def _given(row: AnswerRow) -> bool:
    """Whether the row has a response; one that is not text is refused."""
    if row.response is None or row.response == "":
        return False
    if not isinstance(row.response, str):
        raise AnnotationError(
            f"{row.place}: response should be text, but is {type(row.response).__name__} "
            f"{row.response!r:.60}. Repair the row."
        )
    try:
        row.response.encode()
    except UnicodeEncodeError as error:
        raise AnnotationError(
            f"{row.place}: response holds half a surrogate pair, which is not valid Unicode. Repair the row."
        ) from error
    return bool(row.response.strip())


def _kind(answer: Answer, row: AnswerRow, bought: Purchase, keep: Keep | None) -> str | None:
    """What the row is against the ledger: answered, rejected, late, or None for nothing new."""
    if row.rejected:
        return "rejected" if bought.status == "asked" else None
    if bought.response is not None:
        if bought.response != answer.response and keep != "first":
            raise AnnotationError(
                f"{row.place}: prompt {answer.prompt_id} is answered already, with another answer. A "
                "recorded answer does not change; remove the row, or keep what is recorded with --keep first."
            )
        return None
    return "late" if bought.given_up else "answered"
