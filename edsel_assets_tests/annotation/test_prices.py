import pytest

from edsel_assets.annotation import (
    AnnotationError,
    column_prices,
    constant_prices,
    expected_lengths,
    length_prices,
)


def test_a_constant_price():
    assert constant_prices(["a", "b"], 2) == [2.0, 2.0]


def test_a_price_by_length_by_hand():
    # 500 characters at 4 a thousand and 250 expected at 8 a thousand: 2 + 2.
    assert length_prices(["x" * 500], [250], per_thousand_prompt=4, per_thousand_response=8) == [4.0]
    words = length_prices(
        ["a b c"], [1000], per_thousand_prompt=1000, per_thousand_response=1, length=lambda t: len(t.split())
    )
    assert words == [4.0]


def test_the_expected_length_by_hand():
    assert expected_lengths(["qa", None], [], prior=100) == [100, 100]
    # Over all: (300 + 500 + 5 * 100) / 7; of qa: (300 + 5 * that) / 6.
    overall = 1300 / 7
    answered = [("qa", 300.0), (None, 500.0)]
    assert expected_lengths(["qa", None, "new"], answered, prior=100) == pytest.approx(
        [(300 + 5 * overall) / 6, overall, overall]
    )


def test_a_column_of_prices():
    assert column_prices(["b", "a"], {"a": 1, "b": 0.5}) == [0.5, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: constant_prices(["a"], -1), "The price of a prompt is a number of at least 0; got -1"),
        (lambda: constant_prices(["a"], float("nan")), "got nan"),
        (lambda: column_prices(["a"], {}), "Prompt a has no price. Fill in the price column"),
        (lambda: column_prices(["a"], {"a": float("inf")}), "The price of prompt a is .*got inf"),
        (
            lambda: length_prices(["a"], [], per_thousand_prompt=1, per_thousand_response=1),
            "One expected length is needed for each prompt; got 0 for 1",
        ),
        (
            lambda: length_prices(["a"], [-1], per_thousand_prompt=1, per_thousand_response=1),
            "The expected length of a response is",
        ),
    ],
)
def test_a_wrong_price_is_refused(call, message):
    with pytest.raises(AnnotationError, match=message):
        call()
