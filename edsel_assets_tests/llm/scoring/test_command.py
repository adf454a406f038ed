"""Scores as edsel's assets make them equal those of the ``lm_eval`` command, to the last digit."""

from pathlib import Path

import pytest

from benchmarks.llm.command import CASES, Case, compare, train


@pytest.fixture(scope="module")
def adapter(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data / "models" / "tinystories-260k", tmp_path_factory.mktemp("adapter") / "adapter")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[case.task for case in CASES])
def test_scores_equal_those_of_the_command(case: Case, adapter: Path, data: Path) -> None:
    root = data.resolve()
    pairs = list(compare(case, root / "models" / "tinystories-260k", adapter, root / "hub", limit=5))
    assert pairs
    assert [pair for pair in pairs if not pair.equal] == []
