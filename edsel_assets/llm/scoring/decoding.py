"""What a task asks of the decoding of its answers, and whether that can be given; needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: How lm-eval and the files of its tasks call the longest answer, the first of them counts.
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_KNOWN = {"do_sample", "until", "temperature", *LENGTHS}
_DEFAULT_LENGTH = 256  # lm-eval's


def check_decoding(wanted: Mapping[str, Any], room: int | None) -> None:
    """Raise ``ValueError`` for decoding that there is not, and for answers that do not fit.

    Args:
        wanted: ``generation_kwargs`` of a task.
        room: of the model, in tokens of prompt and answer together; None where that is not known.
    """
    unknown = {name: value for name, value in wanted.items() if name not in _KNOWN and value is not None}
    if unknown:
        raise ValueError(
            f"decoding goes by temperature alone; the task asks for {unknown}. Leave it out, or choose "
            "another evaluation.backend."
        )
    steps = next((wanted[name] for name in LENGTHS if wanted.get(name) is not None), _DEFAULT_LENGTH)
    if room is not None and int(steps) >= room:
        raise ValueError(
            f"the task generates up to {steps} tokens, and the model has room for {room} with the prompt. "
            "Lower its max_new_tokens, use a model with a longer context, or leave this task out."
        )
