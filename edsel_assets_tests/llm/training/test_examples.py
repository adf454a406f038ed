from __future__ import annotations

from typing import Any

from edsel_assets.llm.training.examples import encode_examples, encode_pairs
from edsel_assets.llm.training.settings import Example
from edsel_assets_tests.llm.tiny import byte_tokenizer

END = 256


def test_encoding_by_hand() -> None:
    # One token per byte: two prompt tokens, three response tokens, the end token.
    encoded = encode_examples(byte_tokenizer(), [Example("ab", "xyz")], 100)
    prompt, response = (byte_tokenizer()(text)["input_ids"] for text in ("ab", "xyz"))
    assert encoded.sequences[0].tokens.tolist() == [*prompt, *response, END]
    assert encoded.sequences[0].prompt_length == 2


def test_truncated_and_dropped_are_counted() -> None:
    examples = [Example("ab", "xyz"), Example("abcde", "x"), Example("a", ""), Example("abcd", "x")]
    encoded = encode_examples(byte_tokenizer(), examples, 5)
    # ab + xyz + end has 6 tokens: cut to 5; abcde fills all 5: dropped; a + end fits; abcd + x is cut, too.
    assert [len(s) for s in encoded.sequences] == [5, 2, 5]
    assert (encoded.truncated, encoded.dropped) == (2, 1)
    assert encoded.sequences[1].tokens[-1] == END
    assert encoded.sequences[0].tokens[-1] != END


class MergingTokenizer:
    """Makes one token of "aa" across any boundary, which breaks the prompt's own tokens."""

    eos_token_id, eos_token = 9, "<end>"

    def __call__(self, texts: Any, **_: Any) -> dict[str, Any]:
        def ids(text: str) -> list[int]:
            return [{"A": 2, "a": 1, "b": 3}[c] for c in text.replace("aa", "A")]

        return {"input_ids": ids(texts) if isinstance(texts, str) else [ids(text) for text in texts]}


def test_a_token_across_the_boundary_leaves_the_prompt_whole() -> None:
    pairs = encode_pairs(MergingTokenizer(), ["ba", "ba"], ["ab", "b"])
    assert [(head.tolist(), tail.tolist()) for head, tail in pairs] == [([3, 1], [1, 3]), ([3, 1], [3])]
