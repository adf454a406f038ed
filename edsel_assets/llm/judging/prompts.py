"""What judges are asked.

Each template names its fields as ``${field}``; a field's text is put in as it is, whatever it holds.
"""

from __future__ import annotations

from string import Template

RATING = """Please act as an impartial judge and evaluate the quality of the response provided by an AI \
assistant to the user question displayed below. Your evaluation should consider factors such as the \
helpfulness, relevance, accuracy, depth, creativity, and level of detail of the response. Begin your \
evaluation by providing a short explanation. Be as objective as possible. After providing your explanation, \
please rate the response on a scale of 1 to 10 by strictly following this format: "[[rating]]", for example: \
"Rating: [[5]]".

[[Instruction]] ${instruction}
[[Response]] ${response}"""
"""Yu et al. 2024, Figure 6."""

PROMPT_RATING = """Please act as an impartial judge of an instruction that a person is to answer, so that an \
AI assistant can learn from the answer. Consider whether the instruction is clear and complete, can be \
answered, and would teach the assistant something useful. Begin with a short explanation. Then rate the \
instruction on a scale of 1 to 10 by strictly following this format: "[[rating]]", for example: \
"Rating: [[5]]".

[[Instruction]] ${instruction}"""
"""For prompts without a response, after Figure 6; in our words."""

PREFERENCE = """Two assistants, ${first} and ${second}, were given the same instruction. Say whose answer \
people would like better on the whole: the one that does what was asked, is right, and is written well.

<instruction>
${instruction}
</instruction>

<answer of ${first}>
${first_answer}
</answer of ${first}>

<answer of ${second}>
${second_answer}
</answer of ${second}>

Whose answer is better? Reply with nothing but ${first} or ${second}."""
"""After AlpacaEval's weighted judge (Dubois et al. 2024), whose labels are ``m`` and ``M`` too;
in our words."""

PREFERENCE_FIELDS = ("instruction", "first", "second", "first_answer", "second_answer")
RATING_FIELDS = ("instruction", "response")
PROMPT_RATING_FIELDS = ("instruction",)


def fill(template: str, **fields: str) -> str:
    """``template`` with its fields replaced."""
    return Template(template).substitute(fields)


def check_judge_template(template: str, fields: tuple[str, ...]) -> str:
    """``template``, or a ``ValueError`` where it lacks one of ``fields`` or names another."""
    made = Template(template)
    if not made.is_valid() or set(made.get_identifiers()) != set(fields):
        raise ValueError(
            f"a judge's template must hold each of {', '.join('${' + name + '}' for name in fields)} and no "
            f"other field; got {sorted(made.get_identifiers())}. Write $$ for a dollar sign."
        )
    return template
