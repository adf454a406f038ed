"""The text that a model sees for a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DEFAULT_TEMPLATE = "<|user|>\n{prompt}\n<|assistant|>\n"
"""The chat format of open-instruct, which Bhatt et al. 2024 train with."""

_FIELD = "{prompt}"


def format_prompt(template: str, prompt: str) -> str:
    """``template`` with its one ``{prompt}`` replaced by ``prompt``.

    The replacement is literal: braces elsewhere in the template and in the prompt stay
    as they are, so that prompts holding code or JSON are safe.

    Raises:
        ValueError: ``template`` does not hold ``{prompt}`` exactly once.
    """
    return check_template(template).replace(_FIELD, prompt)


def check_template(template: str) -> str:
    """``template``, or a ValueError when it does not hold ``{prompt}`` exactly once."""
    count = template.count(_FIELD)
    if count != 1:
        raise ValueError(
            f"a template must hold {_FIELD} exactly once; {template!r} holds it {count} times. "
            f"The default is {DEFAULT_TEMPLATE!r}."
        )
    return template


def trained_conversation(
    template: str, messages: Sequence[Mapping[str, str]], end: str, closed: bool = True
) -> str:
    """A conversation as examples are trained on: each question in ``template``, each answer to its end token.

    Args:
        messages: with ``role`` (system, user or assistant) and ``content``.
        end: the text of the end token.
        closed: whether an answer that comes last has its end; else it is to be continued.
    """
    parts = []
    for number, message in enumerate(messages):
        content, last = message["content"], number + 1 == len(messages)
        if message["role"] == "user":
            parts.append(format_prompt(template, content))
        elif message["role"] == "assistant":
            parts.append(content if last and not closed else f"{content}{end}\n")
        else:
            parts.append(f"{content}\n")
    return "".join(parts)
