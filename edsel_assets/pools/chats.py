"""A chat as turns, and its first exchange: the first question and the reply to it."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edsel_assets.pools.text import UnusableRow, normalise, shown, text_of

_ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
_ROLE_KEYS = ("role", "from", "speaker")
_TEXT_KEYS = ("content", "value", "text")
_CALLS = ("tool_calls", "function_call")
#: Kinds of the parts of a turn: text, what a model thought, and calls of tools.
_TEXTS = (None, "text", "input_text", "output_text")
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
_TOOLS = ("tool_use", "tool_call", "function_call")
_STORED = re.compile(r"\s*\[\s*\{")
_STORED_OR_MARKED = re.compile(r"\s*(?:\[\s*\{|Human:)")
#: Chats that are stored as text: the mark of a speaker, and what ends a turn. Anthropic's hh-rlhf,
#: OpenAssistant's guanaco, ChatML.
_TRANSCRIPTS = (
    (re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]*"), ""),
    (re.compile(r"(?:^|\n*)### ?(System|User|Human|Assistant):[ \t]*"), ""),
    (re.compile(r"(?:^|\s*)<\|im_start\|>(\w+)\n"), "<|im_end|>"),
)
_ANSWERED = re.compile(
    r"### ?(?:Assistant|Response):|<\|im_start\|>assistant|\n\nAssistant:|\[/INST\]|<\|assistant\|>"
    r"|<\|start_header_id\|>assistant|<start_of_turn>model"
)


@dataclass(frozen=True)
class Turn:
    """One turn: ``role`` is user, assistant, system or what stands there; ``fault`` says why its text is not
    all text; ``calls`` that it calls a tool.
    """

    role: str
    text: str = ""
    fault: str | None = None
    calls: bool = False


@dataclass(frozen=True)
class Exchange:
    """A question, what the system said before it, and the reply that directly follows it, if any.

    Attributes:
        fault: why the reply is not read, where there is one.
        last: whether the question is the last one.
        more: whether there are turns beside these.
    """

    system: tuple[str, ...]
    question: str
    reply: str | None
    fault: str | None
    last: bool
    more: bool


def may_be_chat(text: str) -> bool:
    """Whether ``text`` may be a chat that was stored as text."""
    return _STORED_OR_MARKED.match(text) is not None


def stored_chat(value: Any) -> list[Any] | None:
    """The turns of a chat: a list, or one stored as JSON or as Python writes it; None where it is none."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str) or not _STORED.match(value):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes in text that is no Python
                turns = read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(turns, list) and all(isinstance(t, Mapping) and _key(t, _ROLE_KEYS) for t in turns):
            return turns
    return None


def transcript(text: str) -> list[Turn] | None:
    """The turns of a chat that is text with marks of its speakers; None where it has none.

    Raises:
        UnusableRow: the text holds the mark of an answer, and no known form.
    """
    stripped = text.strip()
    for mark, end in _TRANSCRIPTS:
        if mark.match(stripped):
            pieces = mark.split(stripped)
            pairs = zip(pieces[1::2], pieces[2::2], strict=True)
            return [Turn(_role(role), normalise(said).removesuffix(end)) for role, said in pairs]
    found = _ANSWERED.search(text)
    if found is None:
        return None
    raise UnusableRow(f"its text holds an answer after the mark {shown(found[0].strip(), 30)}")


def turns_of(chat: Iterable[Any]) -> list[Turn]:
    """The turns of ``chat``, each with its text.

    Raises:
        UnusableRow: something in it is no turn.
    """
    return [_turn(each) for each in chat]


def first_exchange(turns: Sequence[Turn]) -> Exchange | None:
    """The first question and the reply that directly follows it; None where nobody asks.

    Raises:
        UnusableRow: the question is not all text, or its reply needs a tool or another speaker.
    """
    asked = [i for i, turn in enumerate(turns) if turn.role == "user"]
    if not asked:
        return None
    first = asked[0]
    follows = next((i for i in range(first + 1, len(turns)) if turns[i].role != "system"), len(turns))
    before = [turn for turn in turns[:follows] if turn.role not in ("user", "assistant", "system")]
    reply = turns[follows] if follows < len(turns) else None
    if reply is not None and reply.role not in ("user", "assistant"):
        before.append(reply)
    if before:
        role = shown(before[0].role, 40)
        raise UnusableRow(f"a turn before the first reply has the role {role}, which is no speaker's")
    if turns[first].fault:
        raise UnusableRow(turns[first].fault)
    if reply is not None and reply.calls:
        raise UnusableRow("the first reply calls a tool")
    answered = reply is not None and reply.role == "assistant"
    said = [turn for turn in turns if turn.role != "system"]
    return Exchange(
        system=tuple(
            normalise(turn.text) for turn in turns[:follows] if turn.role == "system" and turn.text.strip()
        ),
        question=turns[first].text,
        reply=reply.text if answered and reply and not reply.fault else None,
        fault=reply.fault if answered and reply else None,
        last=len(asked) == 1,
        more=len(said) > 1 + answered,
    )


def _role(name: str) -> str:
    name = name.strip().lower()
    return _ROLES.get(name, name)


def _key(turn: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    return next((key for key in keys if isinstance(turn.get(key), str)), None)


def _turn(turn: Any) -> Turn:
    key = _key(turn, _ROLE_KEYS) if isinstance(turn, Mapping) else None
    if key is None:
        raise UnusableRow(
            "a chat turn should be {'role': text, 'content': text} or {'from': text, 'value': text}, but is "
            + shown(turn, 80)
        )
    role = _role(turn[key])
    calls = any(turn.get(name) for name in _CALLS)
    said = next((turn[name] for name in _TEXT_KEYS if turn.get(name) is not None), None)
    if isinstance(said, (list, tuple)):
        return _of_parts(role, said, calls)
    try:
        text = text_of("a turn", said)
    except UnusableRow as error:
        return Turn(role, fault=str(error), calls=calls)
    other = [name for name, value in turn.items() if value is not None and name not in (key, *_CALLS)]
    missing = text is None and not calls and bool(other or not any(name in turn for name in _TEXT_KEYS))
    return Turn(role, text or "", "a turn has no content that is text" if missing else None, calls)


def _of_parts(role: str, parts: Sequence[Any], calls: bool) -> Turn:
    """A turn that is a list of typed parts: its text, without what the model thought."""
    texts, fault = [], None
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("text") if isinstance(part, Mapping) else part
        if kind in _THOUGHTS:
            continue
        if kind in _TOOLS:
            calls = True
        elif kind in _TEXTS and isinstance(text, str):
            texts.append(text)
        else:
            named = kind if kind is not None else type(part).__name__
            fault = f"a turn has a part of type {shown(named, 40)}, which is no text"
    try:
        text = text_of("a turn", "\n".join(texts))
    except UnusableRow as error:
        text, fault = "", str(error)
    return Turn(role, text or "", fault, calls)
