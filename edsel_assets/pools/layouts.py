"""From a row of any common instruction layout to a prompt and a response, by the names of its columns."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edsel_assets.pools.chats import Turn, first_exchange, may_be_chat, stored_chat, transcript, turns_of
from edsel_assets.pools.source import ROW_NAMES, Batch
from edsel_assets.pools.text import UnusableRow, normalise, shown, text_of

#: Columns that hold a prompt, and the columns that hold its response, in order of precedence.
PAIRS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("response", "completion"),
    "instruction": ("output", "response"),
    "question": ("answer", "response"),
    "query": ("response", "answer"),
    "problem": ("solution", "answer"),
    "inputs_pretokenized": ("targets_pretokenized",),
    "inputs": ("targets", "outputs"),
    "input": ("output", "target"),
}
#: Columns that hold a response beside any prompt but the last ones.
RESPONSES = (
    "response", "completion", "output", "answer", "solution", "chosen", "target", "targets", "outputs",
)  # fmt: skip
#: Prompts that are read without a response too.
ALONE = ("prompt", "instruction", "question", "query", "problem")
#: Columns that hold the turns of a chat.
CHATS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat")
#: Columns that hold what a prompt is about, what the system said, and the turns before the prompt.
CONTEXTS = ("input", "context")
SYSTEMS = ("system_prompt", "system")
HISTORY = "history"
_INSTANCES = "instances"
_PREFERRED = "chosen"
#: What a column of prompts holds: text or chats; chats alone; text that may have marks of speakers.
Form = Literal["any", "chat", "marked"]
_LABELS = frozenset({"task", "source"})


@dataclass(frozen=True)
class Layout:
    """The columns that hold a prompt, what it is asked about, and its response.

    ``prompt`` holds text, or the turns of a chat; then the response may be in the turns.
    ``instances`` holds a list of pairs ``input``, ``output``: each makes a prompt of its own
    (self-instruct).
    """

    prompt: str
    response: str | None = None
    context: str | None = None
    system: str | None = None
    history: str | None = None
    instances: str | None = None
    form: Form = "any"

    @property
    def columns(self) -> list[str]:
        parts = (self.prompt, self.context, self.response, self.system, self.history, self.instances)
        return [column for column in parts if column]

    @property
    def name(self) -> str:
        return " + ".join(column for column in (self.prompt, self.response or self.instances) if column)

    @property
    def is_plain(self) -> bool:
        """Whether a row of text is a prompt and a response as it stands."""
        return self.form == "any" and not (self.context or self.system or self.history)


def _layouts() -> tuple[Layout, ...]:
    """In order of precedence: a pair of columns says more than a chat, a chat more than a prompt alone."""
    strong = [name for name in PAIRS if name not in ("inputs", "input")]
    natural = [Layout(prompt, response) for prompt in strong for response in PAIRS[prompt]]
    instances = Layout("instruction", instances=_INSTANCES)
    others = [Layout(prompt, response) for prompt in ALONE for response in RESPONSES]
    chats = [Layout(name, form="chat") for name in CHATS]
    weak = [Layout(prompt, response) for prompt in ("inputs", "input") for response in PAIRS[prompt]]
    alone = [Layout(name) for name in ALONE]
    preferred = Layout(_PREFERRED, form="chat")
    return (*natural[:4], instances, *natural[4:], *others, *chats, *weak, preferred, *alone)


LAYOUTS = _layouts()
#: One column of text: a prompt, or a chat with marks of its speakers.
TEXT = Layout("text", form="marked")


def recognise(columns: Collection[str]) -> Layout | None:
    """The first layout whose columns are there, with the other columns that are there.

    Names are told apart by their letters alone, not by case or white space around them.
    """
    own = {name.strip().casefold(): name for name in columns} | {name: name for name in columns}
    for layout in LAYOUTS:
        needed = (layout.prompt, layout.response, layout.instances)
        if all(column in own for column in needed if column):
            return _completed(layout, own)
    telling = {name.strip().casefold() for name in columns} - ROW_NAMES - _LABELS
    return replace(TEXT, prompt=own[TEXT.prompt]) if telling == {TEXT.prompt} else None


def _completed(layout: Layout, own: Mapping[str, str]) -> Layout:
    """``layout`` by the names that the file has, with its context, its system's text and its history."""

    def first(names: Sequence[str]) -> str | None:
        return next((own[name] for name in names if name in own and name not in layout.columns), None)

    return replace(
        layout,
        prompt=own[layout.prompt],
        response=own[layout.response] if layout.response else None,
        instances=own[layout.instances] if layout.instances else None,
        context=None if layout.form == "chat" or layout.instances else first(CONTEXTS),
        system=first(SYSTEMS),
        history=None if layout.form == "chat" else first((HISTORY,)),
    )


def layout_of(columns: Collection[str], mapping: Mapping[str, str]) -> Layout | None:
    """The layout that ``mapping`` states, completed by what is recognised if it names no prompt."""
    if "prompt" in mapping:
        return Layout(mapping["prompt"], mapping.get("response"), mapping.get("context"))
    found = recognise(columns)
    if found is None:
        return None
    return replace(
        found,
        response=mapping.get("response", found.response),
        context=mapping.get("context", found.context),
    )


@dataclass(frozen=True)
class Example:
    """What a row gives: the prompt ("" where it has none) and the response, in normal form.

    Attributes:
        fault: why the row has no prompt, or why its response is not read.
        more: whether the row has turns beside the first exchange.
    """

    prompt: str
    response: str | None = None
    fault: str | None = None
    more: bool = False


def example(
    prompt: Any,
    context: Any = None,
    response: Any = None,
    system: Any = None,
    history: Any = None,
    form: Form = "any",
) -> Example:
    """The prompt and the response of one row.

    - A context follows the instruction after an empty line (as Alpaca's input), the system's text stands
      before it.
    - Of a chat, the prompt is the first question, the response the reply that directly follows it. Later
      turns are left out: they answer a reply that another model would not have given.
    - A response beside a chat answers its last question. So it is read where that is the first one.
    - A response that is a whole chat gives the reply to the same first question.

    Raises:
        UnusableRow: the row holds no prompt that can be asked on its own.
    """
    turns = [*_history(history), *_asked(prompt, context, form)]
    exchange = first_exchange(turns)
    if exchange is None or not exchange.question.strip():
        return Example("")
    said = () if exchange.system or system is None else (text_of("the system's text", system) or "",)
    question = normalise(exchange.question)
    text = "\n\n".join([*(normalise(each) for each in (*exchange.system, *said) if each.strip()), question])
    reply, fault, more = exchange.reply, exchange.fault, exchange.more
    try:
        given = _given(response, question)
    except UnusableRow as error:
        given, fault = None, str(error)
    if given is not None:
        more = more or given.more
        if exchange.last or given.whole:
            reply, fault = given.reply, given.fault
        else:
            more = True
    return Example(text, (normalise(reply) or None) if reply else None, fault, more)


@dataclass(frozen=True)
class _Given:
    """What the column of responses holds; ``whole``: a chat with its question."""

    reply: str | None
    fault: str | None = None
    more: bool = False
    whole: bool = False


def _given(response: Any, question: str) -> _Given | None:
    chat = stored_chat(response)
    if chat is not None and any(isinstance(each, Mapping) for each in chat):
        turns = turns_of(chat)
    else:
        turns = (transcript(response) if isinstance(response, str) and may_be_chat(response) else None) or []
    if not turns:
        text = text_of("the response", None if response == [] else response)
        return _Given(text) if text and text.strip() else None
    whole = any(turn.role == "user" for turn in turns)
    exchange = first_exchange(turns if whole else [Turn("user", question), *turns])
    if exchange is None or normalise(exchange.question) != question:
        raise UnusableRow("the response is a chat that begins with another question")
    return _Given(exchange.reply, exchange.fault, exchange.more, whole)


def _asked(prompt: Any, context: Any, form: Form) -> list[Turn]:
    """The turns of the column of prompts."""
    turns = _prompted(prompt, form)
    about = normalise(text_of("the context", context) or "")
    first = next((i for i, turn in enumerate(turns) if turn.role == "user" and turn.text.strip()), None)
    if about and first is not None:
        turns[first] = replace(turns[first], text=f"{normalise(turns[first].text)}\n\n{about}")
    return turns


def _prompted(prompt: Any, form: Form) -> list[Turn]:
    chat = stored_chat(prompt)
    if chat is not None:
        return turns_of(chat)
    text = text_of("the prompt", prompt) or ""
    marked = transcript(text) if form != "any" else None
    if marked is None and form == "chat" and text.strip():
        raise UnusableRow(f"a chat should be a list of turns, but is the text {shown(text, 60)}")
    return marked or [Turn("user", text)]


def _history(history: Any) -> list[Turn]:
    """Turns before the prompt: a list of pairs, a question and its reply, or the turns of a chat."""
    if isinstance(history, str) and history.strip():
        with contextlib.suppress(ValueError, RecursionError):
            history = json.loads(history)
    if not history:
        return []
    if not isinstance(history, (list, tuple)):
        raise UnusableRow(f"the history should be a list of pairs, but is {type(history).__name__}")
    turns = []
    for each in history:
        if isinstance(each, Mapping):
            turns.extend(turns_of([each]))
        elif isinstance(each, (list, tuple)) and len(each) == 2:
            turns.append(Turn("user", text_of("the history", each[0]) or ""))
            turns.append(Turn("assistant", text_of("the history", each[1]) or ""))
        else:
            raise UnusableRow("the history should be a list of pairs of texts")
    return turns


def unfolded(batch: Batch, layout: Layout) -> tuple[Batch, Layout]:
    """Rows with instances as rows with ``input`` and ``output``, one for each instance.

    A row without instances stays one row; so does any row of another layout, and one whose instances are no
    list of objects: its output is what stands there, which is no text.
    """
    if layout.instances is None or layout.instances not in batch.columns:
        return batch, layout
    origins: list[int] = []
    pairs: list[Mapping[str, Any]] = []
    for i, instances in enumerate(batch.columns[layout.instances]):
        for each in instances if isinstance(instances, (list, tuple)) and instances else [instances]:
            origins.append(i)
            pairs.append(each if isinstance(each, Mapping) else {"output": [each]} if each else {})
    columns = {name: [values[i] for i in origins] for name, values in batch.columns.items()}
    columns |= {name: [pair.get(name) for pair in pairs] for name in ("input", "output")}
    numbers = [batch.numbers[i] for i in origins]
    new = Batch([*batch.names, "input", "output"], columns, numbers, batch.texts)
    return new, replace(layout, context="input", response=layout.response or "output")
