"""The pool's own responses as the annotator: the papers' setting, in which all answers are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from edsel_assets.annotation import AnswerRow
from edsel_assets.annotators.protocol import Asked, Enter


class PoolAnnotator:
    """Answers at once with what the pool has.

    Args:
        read: ``prompt_id, response`` of the pool, null where there is no response.
    """

    def __init__(self, read: Callable[[], pa.Table]) -> None:
        self._read = read

    def problems(self) -> list[str]:
        return []

    def answer(self, asked: Sequence[Asked], enter: Enter) -> list[str]:
        if not asked:
            return []
        table = self._read()
        responses = dict(zip(table["prompt_id"].to_pylist(), table["response"].to_pylist(), strict=True))
        rows = [
            AnswerRow("the pool", each.prompt_id, responses[each.prompt_id], who="pool")
            for each in asked
            if (responses.get(each.prompt_id) or "").strip()
        ]
        enter(rows)
        lacking = len(asked) - len(rows)
        return [f"The pool has no response to {lacking} prompts, which stay open."] if lacking else []
