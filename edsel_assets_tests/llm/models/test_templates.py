from __future__ import annotations

import pytest

from edsel_assets.llm import DEFAULT_TEMPLATE, format_prompt


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
