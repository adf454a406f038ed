"""One row of each layout, and the prompt and the response that it is, written out by hand."""

import json
from typing import Any

import pytest

from edsel_assets.pools import normalise, prompt_id
from edsel_assets.pools.layouts import example, layout_of, recognise
from edsel_assets.pools.text import UnusableRow


def test_normal_form_keeps_inner_white_space():
    assert normalise(" a\r\nb\rc  d\t\n ") == "a\nb\nc  d"
    assert normalise("e\u0301") == "\u00e9"
    assert prompt_id(" e\u0301\r\n") == prompt_id("\u00e9")
    assert prompt_id("A") != prompt_id("a")


def test_prompt_id_is_the_documented_hash():
    # b2sum -l 128 of the one byte "a"
    assert prompt_id("a") == "27c35e6e9373877f29e562464e46497e"


def read(row: dict[str, Any]) -> tuple[str, str | None]:
    layout = recognise(list(row))
    assert layout is not None, row
    columns = (layout.prompt, layout.context, layout.response, layout.system, layout.history)
    found = example(*(row.get(column or "") for column in columns), layout.form)
    return found.prompt, found.response


def chat(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": said} for role, said in turns]


def share(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": role, "value": said} for role, said in turns]


TWO = chat(("user", "u"), ("assistant", "a"))
#: Columns of public data sets, each with what a row of it is.
LAYOUTS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "prompt and response": ({"prompt": "p", "response": "r", "task": "t"}, "p", "r"),
    "prompt and completion": ({"completion": "r", "prompt": "p"}, "p", "r"),
    "conversational prompt and completion (TRL)": (
        {"prompt": chat(("user", "u")), "completion": chat(("assistant", "a"))},
        "u",
        "a",
    ),
    "preference (TRL)": ({"prompt": "p", "chosen": "good", "rejected": "bad"}, "p", "good"),
    "preference by turns (UltraFeedback)": (
        {"prompt": "u", "prompt_id": "0", "chosen": TWO, "rejected": TWO, "messages": TWO},
        "u",
        "a",
    ),
    "preference without a prompt": ({"chosen": TWO, "rejected": TWO}, "u", "a"),
    "transcripts (hh-rlhf)": (
        {
            "chosen": "\n\nHuman: u\n\nv\n\nAssistant: a\n\nHuman: w\n\nAssistant: b",
            "rejected": "\n\nHuman: u\n\nAssistant: c",
        },
        "u\n\nv",
        "a",
    ),
    "alpaca": ({"instruction": "i", "input": "x", "output": "r", "text": "t"}, "i\n\nx", "r"),
    "alpaca without input": ({"instruction": "i", "input": "", "output": "r"}, "i", "r"),
    "alpaca with a system and history (LLaMA-Factory)": (
        {"instruction": "q2", "input": "", "output": "r2", "system": "s", "history": [["q1", "r1"]]},
        "s\n\nq1",
        "r1",
    ),
    "alpaca with an empty history": (
        {"instruction": "q", "input": "", "output": "r", "system": "", "history": []},
        "q",
        "r",
    ),
    "dolly": ({"instruction": "i", "context": "c", "response": "r", "category": "k"}, "i\n\nc", "r"),
    "GSM8K": ({"question": "q", "answer": "#### 4"}, "q", "#### 4"),
    "OpenOrca": ({"id": "1", "system_prompt": "s", "question": "q", "response": "r"}, "s\n\nq", "r"),
    "OpenOrca without a system": (
        {"id": "1", "system_prompt": "", "question": "q", "response": "r"},
        "q",
        "r",
    ),
    "orca_dpo_pairs": ({"system": "s", "question": "q", "chosen": "r", "rejected": "x"}, "s\n\nq", "r"),
    "MetaMath": ({"type": "t", "query": "q", "original_question": "o", "response": "r"}, "q", "r"),
    "NuminaMath": ({"source": "s", "problem": "p", "solution": "r", "messages": TWO}, "p", "r"),
    "MATH": ({"problem": "p", "solution": "r", "answer": "4", "level": "1"}, "p", "r"),
    "Aya, FLAN": ({"inputs": "q", "targets": "r", "language": "x"}, "q", "r"),
    "P3": (
        {"inputs": [1, 2], "inputs_pretokenized": "q", "targets": [3], "targets_pretokenized": "r"},
        "q",
        "r",
    ),
    "input and output": ({"input": "q", "output": "r"}, "q", "r"),
    "input and target": ({"input": "q", "target": "r"}, "q", "r"),
    "question and output": ({"question": "q", "output": "r"}, "q", "r"),
    "prompt, input and output": ({"prompt": "p", "input": "x", "output": "r"}, "p\n\nx", "r"),
    "Magpie": ({"conversations": share(("human", "x")), "instruction": "i", "response": "r"}, "i", "r"),
    "UltraChat, no_robots": ({"prompt": "u", "prompt_id": "0", "messages": TWO, "category": "c"}, "u", "a"),
    "LMSYS, WildChat": ({"conversation_id": "0", "model": "m", "conversation": TWO, "turn": 1}, "u", "a"),
    "ShareGPT": (
        {"id": "0", "conversations": share(("system", "s"), ("human", "u"), ("gpt", "a"))},
        "s\n\nu",
        "a",
    ),
    "OpenHermes": (
        {"system_prompt": "s", "conversations": share(("human", "u"), ("gpt", "a")), "category": None},
        "s\n\nu",
        "a",
    ),
    "a chat as JSON text": ({"messages": json.dumps(TWO)}, "u", "a"),
    "a chat as Python writes it": (
        {"conversations": str(share(("human", "it's"), ("gpt", "a")))},
        "it's",
        "a",
    ),
    "prompt and response as JSON text": (
        {"prompt": json.dumps(TWO[:1]), "response": json.dumps(TWO[1:])},
        "u",
        "a",
    ),
    "names in capitals": ({"Prompt": "p", " Response ": "r"}, "p", "r"),
    "text": ({"id": 1, "text": "t"}, "t", None),
    "text with marks (guanaco)": ({"text": "### Human: u### Assistant: a### Human: v"}, "u", "a"),
    "text with marks (ChatML)": (
        {
            "text": "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n"
            "<|im_start|>assistant\na<|im_end|>\n"
        },
        "s\n\nu",
        "a",
    ),
    "prompt": ({"prompt": "p", "text": "t"}, "p", None),
    "instruction": ({"instruction": "i", "input": "x"}, "i\n\nx", None),
    "question": ({"question": "q", "choices": ["a", "b"]}, "q", None),
    "query": ({"query": "q"}, "q", None),
    "problem": ({"problem": "q"}, "q", None),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_row_of_each_layout(layout):
    row, prompt, response = LAYOUTS[layout]
    assert read(row) == (prompt, response)
    assert read(dict(reversed(row.items()))) == (prompt, response)


@pytest.mark.parametrize(
    "columns", [["text", "label"], ["title", "body"], ["input"], ["document", "summary"]]
)
def test_unknown_columns_are_no_layout(columns):
    assert recognise(columns) is None


def test_a_mapped_prompt_stops_the_guessing():
    layout = layout_of(["prompt", "response", "q"], {"prompt": "q"})
    assert (layout.prompt, layout.response) == ("q", None)
    layout = layout_of(["prompt", "response", "best"], {"response": "best"})
    assert (layout.prompt, layout.response) == ("prompt", "best")


U, A, V, B = ("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b")
TEXT, IMAGE = {"type": "text", "text": "5"}, {"type": "image_url", "image_url": {"url": "x"}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((" p ", None, " r\r\n"), ("p", "r")),
        (("p", None, "  "), ("p", None)),
        ((None, None, "r"), ("", None)),
        (("instruction", " input ", "out"), ("instruction\n\ninput", "out")),
        (("instruction", "  ", "out"), ("instruction", "out")),
        (("instruction", 4, 8), ("instruction\n\n4", "8")),
        (("", "input", "out"), ("", None)),
        (("p", None, True), ("p", "true")),
        (("p", None, 2.5), ("p", "2.5")),
        (("p", None, float("nan")), ("p", None)),
        ((3, None, b"r"), ("3", "r")),
        ((chat(U, A), None, None), ("u", "a")),
        ((chat(("system", "s "), U, A), None, None), ("s\n\nu", "a")),
        ((chat(("system", ""), U), None, None), ("u", None)),
        ((chat(("system", "s")), None, None), ("", None)),
        (([], None, None), ("", None)),
        ((chat(("User", "u")), None, chat(A)), ("u", "a")),
        ((chat(U, A), None, "better"), ("u", "better")),
        ((chat(U, ("assistant", None)), None, None), ("u", None)),
        (
            (chat(("user", 3), ("assistant", [{"type": "thinking", "thinking": "x"}, TEXT])), None, None),
            ("3", "5"),
        ),
        (("[1] is a citation", None, '[{"a": 1}]'), ("[1] is a citation", '[{"a": 1}]')),
    ],
)
def test_one_exchange_is_read_whole(row, expected):
    found = example(*row)
    assert (found.prompt, found.response, found.fault, found.more) == (*expected, None, False)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((chat(U, A, V, B), None, None), ("u", "a")),
        ((chat(A, U, B), None, None), ("u", "b")),
        ((chat(U, V, B), None, None), ("u", None)),
        ((chat(U, A, V), None, chat(B)), ("u", "a")),
        ((chat(U, A, V), None, "b"), ("u", "a")),
        ((chat(U, A, V), None, chat(U, A, V, B)), ("u", "a")),
        ((chat(U), None, chat(A, B)), ("u", "a")),
        ((chat(U, A, ("tool", "x"), B), None, None), ("u", "a")),
    ],
)
def test_of_a_longer_chat_the_first_question_has_its_own_reply_and_the_row_is_counted(row, expected):
    found = example(*row)
    assert (found.prompt, found.response, found.more) == (*expected, True)


@pytest.mark.parametrize(
    ("response", "fault"),
    [
        ({"text": ["a"]}, "the response should be text, but is dict"),
        (["a", "b"], "the response should be text, but is list"),
        ("\udc00", r"the response holds half a surrogate pair \(.udc00\)"),
        (chat(V, B), "the response is a chat that begins with another question"),
        (chat(("assistant", [IMAGE, TEXT])), "a turn has a part of type 'image_url', which is no text"),
        ([{"role": "assistant", "audio": {"id": "a1"}}], "a turn has no content that is text"),
        ([{"role": "assistant", "content": None, "refusal": "No."}], "a turn has no content that is text"),
    ],
)
def test_a_response_that_is_no_text_leaves_its_prompt(response, fault):
    found = example("u", None, response)
    assert (found.prompt, found.response) == ("u", None)
    with pytest.raises(UnusableRow, match=fault):
        raise UnusableRow(found.fault)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (({"a": 1},), "the prompt should be text, but is dict"),
        ((["a", "b"],), "a chat turn should be .* but is 'a'"),
        (("\ud800",), r"the prompt holds half a surrogate pair \(.ud800\)"),
        ((b"\xff",), "the prompt is not valid UTF-8"),
        (("p", {"title": "t"}), "the context should be text, but is dict"),
        (([{"role": "user"}],), "a turn has no content that is text"),
        ((chat(("user", {"parts": []})),), "a turn should be text, but is dict"),
        ((chat(("user", [IMAGE, TEXT]), A),), "a turn has a part of type 'image_url', which is no text"),
        ((chat(("narrator", "x"), U),), "role 'narrator', which is no speaker's"),
        ((chat(U, ("function_call", "{}"), A),), "role 'function_call', which is no speaker's"),
        (([*chat(U), {"role": "assistant", "tool_calls": [{"id": "c"}]}],), "the first reply calls a tool"),
        (([*chat(U), {"role": "assistant", "content": "", "function_call": {"name": "f"}}],), "calls a tool"),
        ((chat(U, ("assistant", [TEXT, {"type": "tool_use", "id": "x"}])),), "the first reply calls a tool"),
        (("no chat", None, None, None, None, "chat"), "a chat should be a list of turns, but is the text"),
        (('[{"role": "user"', None, None, None, None, "chat"), "a chat should be a list of turns"),
        (
            ("### Instruction:\ni\n### Response:\nr", None, None, None, None, "marked"),
            "holds an answer after the mark",
        ),
        (("q", None, "r", None, {"q": 1}), "the history should be a list of pairs"),
    ],
)
def test_a_row_without_a_prompt_of_its_own_says_why(row, message):
    with pytest.raises(UnusableRow, match=message):
        example(*row)
