"""Study: every setting of an experiment, in one validated object loaded from YAML.

A study names a pool, a model, strategies and budgets. Everything else has a default, and every
field says what it does. ``Study.load`` takes the name of a shipped study or a path; strings in
the YAML may use ``${VARIABLE}`` or ``${VARIABLE:-default}`` from the environment.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from edsel_assets.keys import budget_key, parse_budget_trial, partition_key, trial_key
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.selection.strategy import CLUSTERS, DEMAND, QUALITY, QUERIES, TASKS, Strategy
from edsel_assets.study.base import Name, NodeName, PlainName, Settings
from edsel_assets.study.choosing import AnnotationSettings, RoundsSettings, SelectionSettings, VariantSettings
from edsel_assets.study.file import load_study, unset_variables
from edsel_assets.study.inputs import EmbeddingSettings, ForwardSettings, ModelSettings, PoolSettings
from edsel_assets.study.scorers import QualitySettings
from edsel_assets.study.signals import ClusteringSettings, UncertaintySettings
from edsel_assets.study.targets import TargetSettings
from edsel_assets.study.trials import EvaluationSettings, FinetuningSettings, ReportSettings
from edsel_assets.study.triggers import NIGHTLY, STALE, TriggerSettings

#: Beyond, a plan alone takes minutes.
MOST_TRIALS = 20_000


class Study(Settings):
    """Every setting of one experiment."""

    name: Name
    prefix: NodeName | None = Field(
        None,
        description="Stands in Dagster before the names of the study's assets, jobs, triggers and "
        "resources, so that it can be merged with other definitions.",
    )
    pool: PoolSettings = PoolSettings()
    model: ModelSettings = ModelSettings()
    forward: ForwardSettings = ForwardSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    other_embeddings: dict[PlainName, EmbeddingSettings] = Field(
        default_factory=dict, description="Further embeddings by name, for variants of strategies."
    )
    uncertainty: UncertaintySettings = UncertaintySettings()
    clustering: ClusteringSettings = ClusteringSettings()
    quality: QualitySettings = QualitySettings()
    targets: dict[PlainName, TargetSettings] = Field(
        default_factory=dict, description="Whom the model must serve, by name."
    )
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
        named, names = self.report.control, self.selection.names
        if "control" in self.report.model_fields_set and named and named not in names:
            raise ValueError(
                f"report.control {named!r} must be among selection.strategies "
                f"{names}; add it, name another control, or set it to null"
            )
        trials = sum(len(self.selection.budgets_for(name)) * len(self.seeds(name)) for name in names)
        if trials > MOST_TRIALS:
            raise ValueError(
                f"a study has at most {MOST_TRIALS:,} trials (strategies by budgets by seeds); this one has "
                f"{trials:,}: name fewer, or lower finetuning.seeds"
            )
        for name in names:
            least = min(self.selection.budgets_for(name))
            if self.strategy(name).iterative and least < self.rounds.rounds:
                raise ValueError(
                    f"a budget of {least} cannot be spread over {self.rounds.rounds} rounds; "
                    "raise the budget or lower rounds.rounds"
                )
        for name, variant in self.selection.variants.items():
            self._check_variant(name, variant)
        self._check_targets()
        self._check_reference()
        self._check_held_out()
        self._check_average()
        self._check_quality(self.quality.scorer)  # the diagnostics read it
        for name in names:
            self._check_scorers(name)
            self._check_target(name)
        return self

    def _check_quality(self, scorer: str) -> None:
        self.quality.check(scorer)
        if scorer == "column" and self.quality.file is None and "quality" not in self.pool.columns:
            raise ValueError(
                "the scorer column needs a column: name it in pool.columns as quality, or a file in "
                "quality.file"
            )

    def _check_scorers(self, name: str) -> None:
        row = self.strategy(name)
        if QUALITY in row.needs:
            self._check_quality(self.quality_of(name))
        if row.scorer in ("reward", "judge") and getattr(self.rounds, row.scorer) is None:
            raise ValueError(f"{name} needs the section rounds.{row.scorer}; add it")
        if row.iterative and self.rounds.start == "continue" and self.selection.model is not None:
            raise ValueError(
                "rounds.start: continue goes on from the adapters of selection.model; set it to base"
            )
        if row.iterative and self.rounds.start == "continue" and self.finetuning.method == "dora":
            raise ValueError(
                "rounds.start: continue adds the rounds' adapters up, which dora's cannot be; "
                "set finetuning.method to lora or full"
            )

    def _check_targets(self) -> None:
        for name, target in self.targets.items():
            if target.prompts is None:
                continue
            if self.embeddings.input == "prompt_response":
                raise ValueError(
                    f"targets.{name}: queries have no answers, so they cannot be embedded with them; set "
                    "embeddings.input to prompt"
                )
            if (self.embeddings.source == "file") != (target.embeddings is not None):
                raise ValueError(
                    f"targets.{name}.embeddings is a file of vectors for its prompts; it is needed where "
                    "embeddings.source is file, and there alone"
                )

    def _check_target(self, name: str) -> None:
        row, target = self.strategy(name), self.selection.of(name).target
        if target is not None and target not in self.targets:
            raise ValueError(
                f"{name} aims at {target!r}, which is not among targets {sorted(self.targets)}; add it there"
            )
        variant = self.selection.variants.get(name)
        inherited = variant is not None and "target" not in variant.model_fields_set
        if target is not None and not row.aims and name != self.control and not inherited:
            raise ValueError(
                f"{name} cannot aim at a target; make it a variant of itself, or set target in variants "
                f"alone. Those that can: {', '.join(k for k, v in STRATEGIES.items() if v.aims)}"
            )
        if target is None and row.needs & {DEMAND, QUERIES}:
            raise ValueError(
                f"{name} needs a target; set selection.target to one of targets {sorted(self.targets)}"
            )
        if target is not None and QUERIES in row.needs and self.targets[target].prompts is None:
            raise ValueError(
                f"{name} needs a target by prompts, and {target} is one by tasks; take another strategy"
            )
        if self.queries_of(name) is not None and self.embeddings_of(name) is not None:
            raise ValueError(
                f"{name} compares prompts with queries, which are embedded by the study's own embeddings; "
                "leave its embeddings out"
            )

    def _check_variant(self, name: str, variant: VariantSettings) -> None:
        if variant.clusters is not None and variant.clusters not in self.clustering.counts:
            raise ValueError(
                f"selection.variants.{name}.clusters must be one of clustering.counts "
                f"{self.clustering.counts}; got {variant.clusters}"
            )
        if variant.embeddings is not None and variant.embeddings not in self.other_embeddings:
            raise ValueError(
                f"selection.variants.{name}.embeddings must be one of other_embeddings "
                f"{sorted(self.other_embeddings)}; got {variant.embeddings!r}"
            )

    def _check_held_out(self) -> None:
        if self.evaluation.held_out_answers and not (self.evaluation.held_out or self.annotation.validation):
            raise ValueError(
                "evaluation.held_out_answers has no prompts to answer; set evaluation.held_out, or "
                "annotation.validation"
            )

    def _check_average(self) -> None:
        named, there = self.report.average, self.evaluation.shown
        if len(set(named)) < len(named) or not set(named) <= set(there):
            raise ValueError(f"report.average must name some of the tasks {there}, each once; got {named}")

    def _check_reference(self) -> None:
        judge = self.evaluation.judge
        unknown = [] if judge is None else sorted(set(judge.budgets) - set(self.selection.every_budget))
        if unknown:
            raise ValueError(
                f"evaluation.judge.budgets names {unknown}; budgets are {self.selection.every_budget}"
            )
        if judge is None or judge.kind != "preference":
            return
        if self.reference is None:
            raise ValueError(
                "evaluation.judge compares trials with a reference, and the study has no control; name a "
                "trial in evaluation.judge.reference, or set its kind to rating"
            )
        names = self.selection.names
        try:
            budget, name, seed = parse_budget_trial(self.reference)
            known = budget in self.selection.budgets_for(name) and seed in self.seeds(name)
        except ValueError:
            known = False
        if not known or name not in names:
            raise ValueError(
                f"evaluation.judge.reference {judge.reference!r} is no trial of this study; write "
                f"BUDGET|STRATEGY.sSEED with a budget of the strategy, such as "
                f"{self._last_trial(names[0])}"
            )

    @property
    def reference(self) -> str | None:
        """Budget and trial that a judge compares all others with; None where nothing is compared."""
        judge = self.evaluation.judge
        if judge is None or judge.kind != "preference":
            return None
        if judge.reference is not None:
            try:
                budget, name, seed = parse_budget_trial(judge.reference)
            except ValueError:
                return judge.reference  # which is refused as the study loads
            return partition_key(budget_key(budget), trial_key(name, seed))
        return None if self.control is None else self._last_trial(self.control)

    def _last_trial(self, strategy: str) -> str:
        budget = self.selection.budgets_for(strategy)[-1]
        return partition_key(budget_key(budget), trial_key(strategy, 0))

    @classmethod
    def load(cls, name_or_path: str | Path, variables: Mapping[str, str] | None = None) -> "Study":
        """The study of that name shipped with edsel, or in that YAML file.

        Args:
            variables: the environment; the process's own by default.

        Raises:
            StudyError: no such study, not YAML, an unknown field, a value out of range.
        """
        return load_study(cls, name_or_path, _shipped(), variables)

    @staticmethod
    def unset_variables(name_or_path: str | Path) -> list[str]:
        """Environment variables that a study's file needs, which are not set."""
        return unset_variables(name_or_path, _shipped())

    @classmethod
    def from_env(cls) -> "Study":
        """The study that the environment variable EDSEL_STUDY names; the demo without it."""
        return cls.load(os.environ.get("EDSEL_STUDY") or "demo")

    @property
    def control(self) -> str | None:
        """The strategy that others are compared with; None where the study has none."""
        named = self.report.control
        return named if named in self.selection.names else None

    def strategy(self, name: str) -> Strategy:
        """The row of a strategy, or that of the one that a variant is of, under the variant's name."""
        variant = self.selection.variants.get(name)
        row = STRATEGIES[name] if variant is None else replace(STRATEGIES[variant.strategy], name=name)
        if TASKS in row.needs and self.selection.of(name).quotas_by == "clusters":
            return replace(row, needs=row.needs - {TASKS} | {CLUSTERS})
        return row

    def target_of(self, strategy: str) -> str | None:
        """The target that a strategy or a variant aims at; None where it does not aim."""
        return self.selection.of(strategy).target if self.strategy(strategy).aims else None

    def embeddings_of_queries(self, target: str) -> EmbeddingSettings:
        """What a target's own prompts are embedded by: as the pool's, or their own file of vectors."""
        if self.embeddings.source != "file":
            return self.embeddings
        return self.embeddings.model_copy(update={"path": self.targets[target].embeddings})

    def queries_of(self, strategy: str) -> str | None:
        """The target whose prompts themselves a strategy compares the pool with; None for one by tasks."""
        target = self.target_of(strategy)
        if target is None or not self.strategy(strategy).by_queries or target not in self.targets:
            return None
        return target if self.targets[target].prompts is not None else None

    def seeds(self, strategy: str) -> range:
        """Seeds of a strategy's trials (Bhatt et al. 2024: 6 for random, 3 for the rest)."""
        tuning = self.finetuning
        variant = self.selection.variants.get(strategy)
        if (variant.strategy if variant else strategy) == "random":
            return range(tuning.random_seeds or 2 * tuning.seeds)
        return range(tuning.seeds)

    def clustering_of(self, strategy: str) -> str:
        """Key of the clustering that a strategy reads: ``00064``, or ``NAME.00064`` of other embeddings."""
        variant = self.selection.variants.get(strategy)
        count = (variant.clusters if variant else None) or self.clustering.chosen
        named = self.embeddings_of(strategy)
        return budget_key(count) if named is None else f"{named}.{budget_key(count)}"

    def quality_of(self, strategy: str) -> str:
        """The scorer of quality that a strategy reads."""
        variant = self.selection.variants.get(strategy)
        return (variant.quality if variant else None) or self.quality.scorer

    def embeddings_of(self, strategy: str) -> str | None:
        """Name of the other embeddings that a variant reads; None for the study's own."""
        variant = self.selection.variants.get(strategy)
        return variant.embeddings if variant else None

    @property
    def selecting(self) -> "Study":
        """The study as if the model that selects were its base model."""
        model = self.selection.model
        return self if model is None else self.model_copy(update={"model": model})

    def with_embeddings(self, name: str) -> "Study":
        """The study as if those of ``other_embeddings`` were its own."""
        return self.model_copy(update={"embeddings": self.other_embeddings[name]})


def shipped_studies() -> list[str]:
    """Names of the studies in the package."""
    return sorted(path.stem for path in _shipped().glob("*.yaml"))


def _shipped() -> Path:
    return Path(str(resources.files("edsel_assets") / "studies"))
