from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from edsel_assets.llm import uncertainty

# Two prompts over a vocabulary of three. The first takes two steps, with p = (1/2, 1/4, 1/4) and then
# p = (0.8, 0.1, 0.1); the second one step, with p = (0.6, 0.4, 0).
H1 = 0.5 * np.log(2) + 2 * 0.25 * np.log(4)  # 1.0397 nats
H2 = -(0.8 * np.log(0.8) + 0.2 * np.log(0.1))  # 0.6390
H3 = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))  # 0.6730
RECORDS = [
    SimpleNamespace(
        logprob=np.log([0.5, 0.8]),
        top1=np.array([0.5, 0.8]),
        top2=np.array([0.25, 0.1]),
        entropy=np.array([H1, H2]),
    ),
    SimpleNamespace(
        logprob=np.log([0.6]), top1=np.array([0.6]), top2=np.array([0.4]), entropy=np.array([H3])
    ),
]


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("mean_entropy", [(H1 + H2) / 2, H3]),
        ("least_confidence", [-np.log(0.5 * 0.8), -np.log(0.6)]),
        ("mean_margin", [-(0.25 + 0.7) / 2, -0.2]),
        ("min_margin", [-0.25, -0.2]),
    ],
)
def test_by_hand(measure, expected) -> None:
    scores = uncertainty(RECORDS, measure)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_switches() -> None:
    np.testing.assert_allclose(
        uncertainty(RECORDS, "mean_entropy", entropy_sign="paper_literal"), [-(H1 + H2) / 2, -H3]
    )
    np.testing.assert_allclose(
        uncertainty(RECORDS, "least_confidence", length_normalised=True), [-np.log(0.4) / 2, -np.log(0.6)]
    )


@pytest.mark.parametrize(
    ("switch", "own"),
    [({"entropy_sign": "paper_literal"}, "mean_entropy"), ({"length_normalised": True}, "least_confidence")],
)
def test_a_switch_changes_its_own_measure_and_no_other(switch, own) -> None:
    for measure in ("mean_entropy", "least_confidence", "mean_margin", "min_margin"):
        same = np.array_equal(uncertainty(RECORDS, measure, **switch), uncertainty(RECORDS, measure))
        assert same == (measure != own)


def test_least_confidence_does_not_underflow() -> None:
    # 0.01^400 is 0 in float64; the longer answer must still count as the less confident.
    long, longer = (SimpleNamespace(logprob=np.full(n, np.log(0.01))) for n in (400, 401))
    scores = uncertainty([long, longer], "least_confidence")
    assert scores[1] > scores[0] > 0


@pytest.mark.parametrize("measure", ["mean_entropy", "least_confidence", "mean_margin", "min_margin"])
def test_records_columns_frames_and_tables_agree(measure) -> None:
    columns = {name: [getattr(r, name) for r in RECORDS] for name in ("logprob", "top1", "top2", "entropy")}
    expected = uncertainty(RECORDS, measure)
    for form in (columns, pd.DataFrame(columns), pa.table(columns)):
        assert uncertainty(form, measure).tolist() == expected.tolist()
    assert uncertainty([], measure).shape == (0,)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="least_confidence"):
        uncertainty(RECORDS, "entropy")
    with pytest.raises(ValueError, match="entropy_sign must be"):
        uncertainty(RECORDS, "min_margin", entropy_sign="minus")
    with pytest.raises(ValueError, match="rows \\[1\\]"):
        uncertainty([RECORDS[0], SimpleNamespace(entropy=[])], "mean_entropy")
    with pytest.raises(ValueError, match="first in row 1"):
        uncertainty([RECORDS[0], SimpleNamespace(entropy=[np.nan])], "mean_entropy")
