"""What a trial answers to the study's instructions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from edsel_assets.study import JudgeSettings, Study

if TYPE_CHECKING:
    from edsel_assets.llm import Answer

#: ``row``: of the file of instructions, from 0. ``ended``: whether the answer ended by itself or was cut.
ANSWERS = pa.schema(
    [
        ("row", pa.int32()),
        ("instruction", pa.large_string()),
        ("answer", pa.large_string()),
        ("ended", pa.bool_()),
    ]
)


def read_instructions(settings: JudgeSettings) -> list[str]:
    """The texts ``instruction`` of a JSON list or of JSONL, the first ``limit`` of them.

    Raises:
        ValueError: no such file, not JSON, or a row without an instruction; it names file and row.
    """
    path = Path(settings.instructions).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8. Name a JSON list or JSONL.") from None
    found = []
    for number, row in enumerate(_rows(path, text)[: settings.limit]):
        said = row.get("instruction") if isinstance(row, dict) else None
        if not isinstance(said, str) or not said.strip():
            raise ValueError(
                f"{path}, row {number}: no text under the name instruction. Mend or drop the row."
            )
        found.append(said)
    if not found:
        raise ValueError(f"{path} holds no instruction.")
    return found


def _rows(path: Path, text: str) -> list[Any]:
    try:
        if text.lstrip().startswith("["):
            return list(json.loads(text))
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is neither a JSON list nor JSONL: {error.msg}, line {error.lineno}."
        ) from None


def greedy_answers(
    model: Any, tokenizer: Any, study: Study, texts: Sequence[str], max_new_tokens: int
) -> list[Answer]:
    """What a model answers to each text, put by the study's template: greedy, up to an end token."""
    from edsel_assets.llm import format_prompt, generate_answers

    return generate_answers(
        model,
        tokenizer,
        [format_prompt(study.model.template, text) for text in texts],
        max_new_tokens=max_new_tokens,
        max_prompt_tokens=study.forward.max_prompt_tokens,
        batch_tokens=study.evaluation.batch_tokens,
    )


def write_answers(model: Any, tokenizer: Any, study: Study) -> pa.Table:
    """``ANSWERS`` of a model to the study's instructions."""
    settings = study.evaluation.judge
    assert settings is not None, "asked for without a section evaluation.judge"
    instructions = read_instructions(settings)
    found = greedy_answers(model, tokenizer, study, instructions, settings.max_new_tokens)
    columns = {
        "row": range(len(instructions)),
        "instruction": instructions,
        "answer": [answer.text for answer in found],
        "ended": [answer.ended for answer in found],
    }
    return pa.table({name: pa.array(columns[name], ANSWERS.field(name).type) for name in ANSWERS.names})
