"""From a row of any common instruction layout to a prompt and a response, in normal form."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edsel_assets.pools.batch import Batch

_USER = ("user", "human", "prompter")
_ASSISTANT = ("assistant", "gpt", "model", "bot", "chatgpt")
_SYSTEM = ("system", "developer")
_SPEAKER_KEYS = (("role", "content"), ("from", "value"))
#: Columns that hold what a prompt is about, where its layout names none that is there.
_CONTEXTS = ("input", "context")


class RowError(ValueError):
    """A value that is not what its column should hold; the caller adds the file and the row."""


class UnusableRow(RowError):
    """A row in order, that holds no prompt that can be asked on its own: it is left out and counted."""


@dataclass(frozen=True)
class Layout:
    """The columns that hold a prompt, what it is asked about, and its response.

    ``prompt`` holds text, or the turns of a chat; then the response may be in the turns.
    ``instances`` holds a list of pairs ``input``, ``output``: each makes a prompt of its own
    (self-instruct).
    """

    name: str
    prompt: str
    response: str | None = None
    context: str | None = None
    instances: str | None = None

    @property
    def columns(self) -> list[str]:
        return [c for c in (self.prompt, self.context, self.response, self.instances) if c]


_CHATS = ("messages", "conversations")
#: In order of precedence: a pair of columns says more than a chat, a chat more than a prompt alone.
LAYOUTS = (
    Layout("prompt/response", "prompt", "response"),
    Layout("prompt/completion", "prompt", "completion"),
    Layout("alpaca", "instruction", "output", "input"),
    Layout("dolly", "instruction", "response", "context"),
    Layout("self-instruct", "instruction", instances="instances"),
    Layout("question/answer", "question", "answer"),
    Layout("messages", "messages"),
    Layout("sharegpt", "conversations"),
    Layout("prompt", "prompt"),
    Layout("instruction", "instruction", context="input"),
    Layout("question", "question"),
)


def recognise(columns: Collection[str]) -> Layout | None:
    """The first layout whose columns are there, with the context column that is there, if any."""
    for layout in LAYOUTS:
        needed = (layout.prompt, layout.response, layout.instances)
        if all(column in columns for column in needed if column):
            present = [c for c in (layout.context, *_CONTEXTS) if c in columns]
            takes_one = not (layout.prompt in _CHATS or layout.instances)
            return replace(layout, context=present[0] if present and takes_one else None)
    return None


def layout_of(columns: Collection[str], mapping: Mapping[str, str]) -> Layout | None:
    """The layout that ``mapping`` states, completed by what is recognised if it names no prompt."""
    if "prompt" in mapping:
        return Layout("mapped", mapping["prompt"], mapping.get("response"), mapping.get("context"))
    found = recognise(columns)
    if found is None:
        return None
    stated = {key: mapping[key] for key in ("response", "context") if key in mapping}
    return replace(found, **stated)


def normalise(text: str) -> str:
    """The normal form of a prompt: Unicode NFC, lines ended by LF, no white space at the ends.

    White space inside is kept, as it carries meaning in code, tables and poems.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def prompt_id(prompt: str) -> str:
    """32 hex digits of the BLAKE2b-128 of the normalised prompt in UTF-8."""
    return hashlib.blake2b(normalise(prompt).encode(), digest_size=16).hexdigest()


def example(prompt: Any, context: Any, response: Any) -> tuple[str, str | None]:
    """Prompt ("" where the row has none) and response of one row, normalised.

    - A context follows the instruction after an empty line (as Alpaca's input).
    - Of a chat, the prompt is the first turn of the user, after the system's text if there is
      one and an empty line; the response is the reply to it. Later turns are left out:
      they answer a reply that another model would not have given.

    Raises:
        UnusableRow: where a chat calls a tool, has an unknown role or a picture before its first reply.
        RowError: where a value is neither text nor turns, or a turn is malformed.
    """
    reply = None
    if isinstance(prompt, (list, tuple)):
        prompt, reply = _first_exchange(prompt)
    text = normalise(_text("prompt", prompt) or "")
    if isinstance(context, (int, float)) and not isinstance(context, bool):
        context = str(context)
    context = _text("context", context)
    if text and context and context.strip():
        text = f"{text}\n\n{normalise(context)}"
    if isinstance(response, (list, tuple)):
        response = "\n".join(said for role, said in map(_turn, response) if role in _ASSISTANT)
    answer = _text("response", response if response is not None else reply)
    return text, (normalise(answer) or None) if answer else None


def _text(what: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    shown = repr(value)
    raise RowError(
        f"{what} should be text, but is {type(value).__name__} {shown[:60]}{'...' if len(shown) > 60 else ''}"
    )


def _first_exchange(turns: Sequence[Any]) -> tuple[str | None, str | None]:
    system: list[str] = []
    prompt = None
    for turn in turns:
        role, said = _turn(turn)
        if role in _ASSISTANT:
            if prompt is not None:
                return _after(system, prompt), said
        elif role in _USER:
            if prompt is not None:
                break  # asked again before any reply
            prompt = said
        elif role in _SYSTEM:
            system.append(said)
        else:
            raise UnusableRow(
                f"a turn before the first reply has the role {role!r:.40}, which is no speaker's"
            )
    return _after(system, prompt), None


def _after(system: list[str], prompt: str | None) -> str | None:
    if prompt is None or not prompt.strip():
        return None
    return "\n\n".join([*(normalise(text) for text in system if text.strip()), prompt])


def _turn(turn: Any) -> tuple[str, str]:
    """Role, in lower case, and text of one turn."""
    if isinstance(turn, Mapping):
        for role_key, text_key in _SPEAKER_KEYS:
            role, said = turn.get(role_key), turn.get(text_key)
            if isinstance(role, str) and isinstance(said, (list, tuple)):
                return role.lower(), _parts(said)
            if isinstance(role, str) and (isinstance(said, str) or (said is None and text_key in turn)):
                return role.lower(), said or ""
    shown = repr(turn)
    raise RowError(
        "a chat turn should be {'role': text, 'content': text} or {'from': text, 'value': text}, but is "
        f"{shown[:80]}{'...' if len(shown) > 80 else ''}"
    )


def _parts(parts: Sequence[Any]) -> str:
    """The text of a turn that is a list of typed parts."""
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise UnusableRow(f"a turn has a part of type {kind!r:.40}, which is no text")
        texts.append(text)
    return "\n".join(texts)


def unfolded(batch: Batch, layout: Layout) -> tuple[Batch, Layout]:
    """Rows with instances as rows with ``input`` and ``output``, one for each instance.

    A row without instances stays one row; so does any row of another layout.

    Raises:
        RowError: instances are no list of objects. The message begins with the number of the row.
    """
    if layout.instances is None or layout.instances not in batch.columns:
        return batch, layout
    origins: list[int] = []
    pairs: list[Mapping[str, Any]] = []
    for i, instances in enumerate(batch.columns[layout.instances]):
        for each in instances or [{}]:
            if not isinstance(instances or [], (list, tuple)) or not isinstance(each, Mapping):
                reason = "instances should be a list of objects with input and output"
                raise RowError(f"row {batch.numbers[i]}: {reason}")
            origins.append(i)
            pairs.append(each)
    columns = {name: [values[i] for i in origins] for name, values in batch.columns.items()}
    columns |= {name: [pair.get(name) for pair in pairs] for name in ("input", "output")}
    numbers = [batch.numbers[i] for i in origins]
    new = Batch([*batch.names, "input", "output"], columns, numbers, batch.texts)
    return new, replace(layout, context="input", response=layout.response or "output")
