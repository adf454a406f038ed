"""What is refused before anything is made."""

from pathlib import Path

import pytest

from edsel_assets.planning import preflight
from edsel_assets_tests.defs.conftest import tiny_study


@pytest.mark.parametrize("kind", ["benchmark_scores", "label_efficiency"])
def test_a_metric_of_which_less_is_better_is_refused(tmp_path: Path, kind: str) -> None:
    """Also where the scores are there and only the report is made again, by another metric."""
    study = tiny_study(evaluation={"tasks": [{"name": "wikitext", "metric": "word_perplexity"}]})
    (found,) = (text for text in preflight.problems(study, tmp_path, {kind}) if "evaluation.tasks" in text)
    assert found.startswith("evaluation.tasks: of wikitext's metric word_perplexity a lower value is better")
    assert "Name another metric" in found
