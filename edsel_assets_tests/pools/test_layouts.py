import pytest

from edsel_assets.pools import normalise, prompt_id
from edsel_assets.pools.layouts import RowError, example, layout_of, recognise


def test_normal_form_keeps_inner_white_space():
    assert normalise(" a\r\nb\rc  d\t\n ") == "a\nb\nc  d"
    assert normalise("e\u0301") == "\u00e9"
    assert prompt_id(" e\u0301\r\n") == prompt_id("\u00e9")
    assert prompt_id("A") != prompt_id("a")


def test_prompt_id_is_the_documented_hash():
    # b2sum -l 128 of the one byte "a"
    assert prompt_id("a") == "27c35e6e9373877f29e562464e46497e"


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (["prompt", "response", "task"], "prompt/response"),
        (["completion", "prompt"], "prompt/completion"),
        (["instruction", "input", "output"], "alpaca"),
        (["instruction", "output"], "alpaca"),
        (["instruction", "context", "response", "category"], "dolly"),
        (["question", "answer"], "question/answer"),
        (["prompt", "prompt_id", "messages"], "messages"),
        (["id", "conversations"], "sharegpt"),
        (["prompt", "text"], "prompt"),
        (["instruction", "input"], "instruction"),
        (["question", "choices"], "question"),
    ],
)
def test_a_layout_is_recognised_whatever_the_order_of_columns(columns, name):
    assert recognise(columns).name == recognise(columns[::-1]).name == name


def test_unknown_columns_are_no_layout():
    assert recognise(["text", "label"]) is None


def test_a_mapped_prompt_stops_the_guessing():
    layout = layout_of(["prompt", "response", "q"], {"prompt": "q"})
    assert (layout.prompt, layout.response) == ("q", None)
    layout = layout_of(["prompt", "response", "best"], {"response": "best"})
    assert (layout.prompt, layout.response) == ("prompt", "best")


def chat(*turns: tuple[str, str | None]) -> list[dict[str, str | None]]:
    return [{"role": role, "content": said} for role, said in turns]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((" p ", None, " r\r\n"), ("p", "r")),
        (("p", None, "  "), ("p", None)),
        ((None, None, "r"), ("", "r")),
        (("instruction", " input ", "out"), ("instruction\n\ninput", "out")),
        (("instruction", "  ", "out"), ("instruction", "out")),
        (("", "input", "out"), ("", "out")),
        (
            (chat(("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b")), None, None),
            ("u", "a"),
        ),
        ((chat(("system", "s "), ("user", "u"), ("assistant", "a")), None, None), ("s\n\nu", "a")),
        ((chat(("system", ""), ("user", "u")), None, None), ("u", None)),
        ((chat(("assistant", "hello"), ("user", "u"), ("assistant", "a")), None, None), ("u", "a")),
        ((chat(("user", "u"), ("user", "u2"), ("assistant", "a")), None, None), ("u", None)),
        ((chat(("system", "s")), None, None), ("", None)),
        (([], None, None), ("", None)),
        (([{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}], None, None), ("u", "a")),
        ((chat(("User", "u")), None, chat(("assistant", "a"))), ("u", "a")),
        ((chat(("user", "u"), ("assistant", "a")), None, "better"), ("u", "better")),
        (
            (chat(("user", "u"), ("assistant", None)), None, None),
            ("u", None),
        ),
    ],
)
def test_rows_of_each_layout(row, expected):
    assert example(*row) == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((3, None, None), "prompt should be text, but is int 3"),
        (("p", None, 2.5), "response should be text, but is float 2.5"),
        (("p", None, {"text": ["a"]}), "response should be text, but is dict"),
        ((["a", "b"], None, None), "a chat turn should be .* but is 'a'"),
        (([{"role": "user"}], None, None), "a chat turn should be"),
        (([{"role": "user", "content": 3}], None, None), "a chat turn should be"),
        ((chat(("narrator", "u")), None, None), "role 'narrator', which is no speaker's"),
    ],
)
def test_what_is_no_text_and_no_chat_is_refused(row, message):
    with pytest.raises(RowError, match=message):
        example(*row)
