from __future__ import annotations

import pytest

from edsel_assets.llm import DEFAULT_TEMPLATE, format_prompt
from edsel_assets.llm.models.templates import trained_conversation


def test_braces_in_prompt_and_template_are_text() -> None:
    assert (
        format_prompt(DEFAULT_TEMPLATE, 'f"{x}" {prompt} {0}')
        == '<|user|>\nf"{x}" {prompt} {0}\n<|assistant|>\n'
    )
    assert format_prompt("{a} {prompt} }", "b") == "{a} b }"


@pytest.mark.parametrize("template", ["", "no field", "{prompt} and {prompt}"])
def test_a_template_needs_the_prompt_once(template) -> None:
    with pytest.raises(ValueError, match="exactly once"):
        format_prompt(template, "x")


def test_a_conversation_is_written_as_examples_are_trained_on() -> None:
    said = [("system", "Be brief."), ("user", "1 + 1?"), ("assistant", "2"), ("user", "2 + 2?")]
    messages = [{"role": role, "content": content} for role, content in said]
    question, template = "<q>{}<a>", "<q>{prompt}<a>"
    asked = "Be brief.\n" + question.format("1 + 1?") + "2</s>\n" + question.format("2 + 2?")
    assert trained_conversation(template, messages, "</s>") == asked
    begun = [*messages, {"role": "assistant", "content": "It is"}]
    assert trained_conversation(template, begun, "</s>", closed=False) == asked + "It is"
    assert trained_conversation(template, begun, "</s>") == asked + "It is</s>\n"
