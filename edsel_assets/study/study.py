"""Study: every setting of an experiment, in one validated object loaded from YAML.

A study names a pool, a model, strategies and budgets. Everything else has a default, and every
field says what it does. ``Study.load`` takes the name of a shipped study or a path; strings in
the YAML may use ``${VARIABLE}`` or ``${VARIABLE:-default}`` from the environment.
"""

import os
from importlib import resources
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from edsel_assets.study.base import Name, Settings
from edsel_assets.study.choosing import AnnotationSettings, RoundsSettings, SelectionSettings
from edsel_assets.study.file import load_study
from edsel_assets.study.inputs import EmbeddingSettings, ForwardSettings, ModelSettings, PoolSettings
from edsel_assets.study.signals import ClusteringSettings, QualitySettings, UncertaintySettings
from edsel_assets.study.trials import EvaluationSettings, FinetuningSettings, ReportSettings
from edsel_assets.study.triggers import NIGHTLY, STALE, TriggerSettings


class Study(Settings):
    """Every setting of one experiment."""

    name: Name
    pool: PoolSettings = PoolSettings()
    model: ModelSettings = ModelSettings()
    forward: ForwardSettings = ForwardSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    uncertainty: UncertaintySettings = UncertaintySettings()
    clustering: ClusteringSettings = ClusteringSettings()
    quality: QualitySettings = QualitySettings()
    selection: SelectionSettings
    finetuning: FinetuningSettings = FinetuningSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    annotation: AnnotationSettings = AnnotationSettings()
    rounds: RoundsSettings = RoundsSettings()
    report: ReportSettings = ReportSettings()
    triggers: list[TriggerSettings] = Field([NIGHTLY, STALE])

    @field_validator("triggers")
    @classmethod
    def _own_names(cls, triggers: list[TriggerSettings]) -> list[TriggerSettings]:
        names = [trigger.name for trigger in triggers]
        if len(set(names)) != len(names):
            raise ValueError(f"each trigger needs a name of its own; got {names}")
        return triggers

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        named = self.report.control
        if "control" in self.report.model_fields_set and named and named not in self.selection.strategies:
            raise ValueError(
                f"report.control {named!r} must be among selection.strategies "
                f"{self.selection.strategies}; add it, name another control, or set it to null"
            )
        least = min(self.selection.budgets)
        if "iterative_kmq_perplexity" in self.selection.strategies and least < self.rounds.rounds:
            raise ValueError(
                f"a budget of {least} cannot be spread over {self.rounds.rounds} rounds; "
                "raise the budget or lower rounds.rounds"
            )
        return self

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Study":
        """The study of that name shipped with edsel, or in that YAML file.

        Raises:
            StudyError: no such study, not YAML, an unknown field, a value out of range.
        """
        return load_study(cls, name_or_path, Path(str(resources.files("edsel_assets") / "studies")))

    @classmethod
    def from_env(cls) -> "Study":
        """The study that the environment variable EDSEL_STUDY names; the demo without it."""
        return cls.load(os.environ.get("EDSEL_STUDY") or "demo")

    @property
    def control(self) -> str | None:
        """The strategy that others are compared with; None where the study has none."""
        named = self.report.control
        return named if named in self.selection.strategies else None

    def seeds(self, strategy: str) -> range:
        """Seeds of a strategy's trials (Bhatt et al. 2024: 6 for random, 3 for the rest)."""
        tuning = self.finetuning
        if strategy == "random":
            return range(tuning.random_seeds or 2 * tuning.seeds)
        return range(tuning.seeds)


def shipped_studies() -> list[str]:
    """Names of the studies in the package."""
    folder = resources.files("edsel_assets") / "studies"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))
