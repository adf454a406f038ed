"""The events of the ledger, and the line of JSON that each of them is."""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from edsel_assets.annotation.errors import AnnotationError

EVENTS = ("asked", "answered", "rejected", "late", "replaced", "paid", "cancelled", "reopened")
EVENT_SCHEMA = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("event", pa.string(), nullable=False),
        pa.field("order", pa.string(), nullable=False),
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("who", pa.large_string()),
        pa.field("when", pa.string(), nullable=False),
        pa.field("price", pa.float64()),
        pa.field("status", pa.large_string()),
        pa.field("response", pa.large_string()),
    ]
)


@dataclass(frozen=True)
class Event:
    """One line of the ledger.

    Attributes:
        event: one of ``EVENTS``.
        order, prompt_id: what it is about.
        who: who asked, answered or paid, as far as known.
        when: UTC time in ISO format; the time of writing where it is left out.
        price: in the study's unit, at least 0: expected when asked, due when answered, given when paid.
        status: a short remark, such as the reason of a rejection or the order that replaces the prompt.
        response: the answer, of ``answered`` and ``late``.
        sequence: the number of the line, from 1; given by the ledger.
    """

    event: str
    order: str
    prompt_id: str
    who: str | None = None
    when: str = ""
    price: float | None = None
    status: str | None = None
    response: str | None = None
    sequence: int = 0


def check_event(event: Event) -> None:
    if event.event not in EVENTS:
        raise AnnotationError(f"An event is one of {', '.join(EVENTS)}; got {event.event!r}.")
    price, response = event.price, event.response
    number = isinstance(price, (int, float)) and not isinstance(price, bool)
    if price is not None and not (number and math.isfinite(price) and price >= 0):
        raise AnnotationError(f"A price is a number of at least 0; prompt {event.prompt_id} has {price!r}.")
    if event.event == "paid" and price is None:
        raise AnnotationError(
            f"A payment needs its price; prompt {event.prompt_id} has none. Give one, or 0."
        )
    answered = event.event in ("answered", "late")
    if answered and not (isinstance(response, str) and response.strip()):
        raise AnnotationError(
            f"An answer is text that is not empty; prompt {event.prompt_id} has {response!r:.60}."
        )
    if event.when:
        utc(event.when, f"The event of prompt {event.prompt_id}")
    for text in (response, event.who, event.status):
        if text is not None and not _is_unicode(text):
            raise AnnotationError(f"Prompt {event.prompt_id} has text that is not valid Unicode. Repair it.")
    if not answered and response is not None:
        raise AnnotationError(f"Only an answer has a response; {event.event} of {event.prompt_id} has one.")


def utc(when: str, where: str) -> str:
    """A time in ISO format as UTC time in ISO format, in seconds; one without a zone is UTC.

    Raises:
        AnnotationError: beginning with ``where``; it is no such time.
    """
    try:
        time = datetime.fromisoformat(when)
        aware = time if time.tzinfo else time.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError) as error:
        raise AnnotationError(
            f"{where}: a time is in ISO format, such as 2026-01-31T12:00:00Z; got {when!r:.40}. "
            "Repair or empty it."
        ) from error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_line(event: Event) -> bytes:
    fields = {name: value for name, value in asdict(event).items() if value is not None}
    body = json.dumps(fields, ensure_ascii=False, allow_nan=False)
    check = f"{zlib.crc32(body.encode()):08x}"
    return f'{body[:-1]}, "check": "{check}"}}\n'.encode()


def from_line(line: bytes, number: int, path: Path) -> Event:
    """The event of one line, whose check sum and number must be right."""
    try:
        fields: dict[str, Any] = json.loads(line)
        check = fields.pop("check")
        body = json.dumps(fields, ensure_ascii=False)
        if f"{zlib.crc32(body.encode()):08x}" != check:
            raise ValueError("its check sum is wrong")
        event = Event(**fields)
        if event.sequence != number:
            raise ValueError(f"it has the number {event.sequence}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AnnotationError(
            f"{path}, line {number} is damaged ({error}). Restore the file from a backup; the ledger is "
            "never edited."
        ) from error
    return event
