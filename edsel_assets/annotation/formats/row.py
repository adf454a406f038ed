"""One answer as a tool gave it back, not yet checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AnswerRow:
    """What one row of a file says.

    Attributes:
        place: the file and the row, for error messages.
        prompt_id: as it stands in the file, None where the row has none.
        response: as it stands in the file; None or empty: not answered yet.
        rejected: the annotator will not answer this prompt.
        reason: of a rejection, as far as it is known.
        other_id: the id that the row has where ``prompt_id`` was never asked for.
        who, when: the annotator, and the time in ISO format, as far as the file says.
    """

    place: str
    prompt_id: Any
    response: Any
    rejected: bool = False
    who: str | None = None
    when: str = ""
    reason: str | None = None
    other_id: str | None = None
