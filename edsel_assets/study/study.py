"""Study: every setting of an experiment, in one validated object loaded from YAML.

A study names a pool, a model, strategies and budgets. Everything else has a default, and every
field says what it does. ``Study.load`` takes the name of a shipped study or a path; strings in
the YAML may use ``${VARIABLE}`` or ``${VARIABLE:-default}`` from the environment.
"""

import os
from importlib import resources
from pathlib import Path

from pydantic import model_validator

from edsel_assets.keys import budget_key, trial_key
from edsel_assets.study.base import Name, Settings
from edsel_assets.study.choosing import AnnotationSettings, RoundsSettings, SelectionSettings
from edsel_assets.study.file import load_study
from edsel_assets.study.inputs import EmbeddingSettings, ForwardSettings, ModelSettings, PoolSettings
from edsel_assets.study.signals import ClusteringSettings, QualitySettings, UncertaintySettings
from edsel_assets.study.trials import EvaluationSettings, FinetuningSettings, ReportSettings


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
        self._check_reference()
        return self

    def _check_reference(self) -> None:
        judge = self.evaluation.judge
        if judge is None or judge.kind != "preference":
            return
        if self.reference is None:
            raise ValueError(
                "evaluation.judge compares trials with a reference, and the study has no control; name a "
                "trial in evaluation.judge.reference, or set its kind to rating"
            )
        budgets = [budget_key(budget) for budget in self.selection.budgets]
        names = [trial_key(name, seed) for name in self.selection.strategies for seed in self.seeds(name)]
        budget, _, trial = self.reference.partition("|")
        if budget not in budgets or trial not in names:
            raise ValueError(
                f"evaluation.judge.reference {judge.reference!r} is no trial of this study; write "
                f"BUDGET|STRATEGY.sSEED with a budget of {', '.join(budgets)}, such as "
                f"{budgets[-1]}|{names[0]}"
            )

    @property
    def reference(self) -> str | None:
        """Budget and trial that a judge compares all others with; None where nothing is compared."""
        judge = self.evaluation.judge
        if judge is None or judge.kind != "preference":
            return None
        if judge.reference is not None:
            budget, _, trial = judge.reference.partition("|")
            return f"{budget_key(int(budget))}|{trial}" if budget.isdecimal() else judge.reference
        if self.control is None:
            return None
        return f"{budget_key(max(self.selection.budgets))}|{trial_key(self.control, 0)}"

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
