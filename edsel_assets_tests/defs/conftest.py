"""A study small enough to run whole in a test, on the demo's pool and model."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from edsel_assets.study import Study

TINY: dict[str, Any] = {
    "name": "tiny",
    "pool": {"path": "builtin:demo", "limit": 80},
    "model": {"path": "builtin:demo"},
    "forward": {"max_new_tokens": 4, "max_prompt_tokens": 64, "shard_rows": 32},
    "clustering": {"counts": [4, 6], "count": 4, "iterations": 10},
    "selection": {
        "strategies": [
            "random",
            "min_margin",
            "k_center",
            "fl_rbf_min_margin",
            "kmq",
            "iterative_kmq_perplexity",
        ],
        "budgets": [6, 10],
        "gamma": 0.5,
        "gammas": [0.1, 1.0],
    },
    "finetuning": {"rank": 4, "epochs": 1, "batch_size": 8, "max_length": 96, "seeds": 1, "random_seeds": 1},
    "evaluation": {
        "tasks": [{"name": "edsel_demo_choice", "limit": 8}],
        "include_path": "builtin:demo",
        "held_out": 8,
    },
    "rounds": {"rounds": 2, "max_new_tokens": 4},
}


def tiny_study(**sections: dict[str, Any]) -> Study:
    """The tiny study with the given sections' fields replaced."""
    settings = {name: dict(part) if isinstance(part, dict) else part for name, part in TINY.items()}
    for name, changes in sections.items():
        settings[name] = {**settings.get(name, {}), **changes}
    return Study.model_validate(settings)


@pytest.fixture
def study() -> Study:
    return tiny_study()


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return path
