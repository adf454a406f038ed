"""Partition keys and partition mappings, all derived from the study and ``STRATEGIES``.

Nothing else in the graph writes a partition key by hand, so the lineage of one cell is exact:
``rankings[k_center]`` has no uncertainty parent, ``rankings[min_margin]`` exactly one.

Mappings are static to static, or one dimension at a time. A static mapping with a
two-dimensional side passes every local check of Dagster and then fails in its webserver and
daemon, so there is none.
"""

from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from edsel_assets.keys import ITERATIVE_PREFIX, budget_key, parse_trial, trial_key
from edsel_assets.running.dagster_internals import ORDERS
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.selection.strategy import CLUSTERS, QUALITY, Strategy
from edsel_assets.study import MEASURES, Study


@dataclass(frozen=True)
class Partitions:
    """Every partitions definition and mapping of one study's graph."""

    study: Study

    # -- the rows of STRATEGIES that this study uses

    @cached_property
    def strategies(self) -> list[Strategy]:
        """Strategies that rank once, in the study's order."""
        return [
            STRATEGIES[name] for name in self.study.selection.strategies if not STRATEGIES[name].iterative
        ]

    @cached_property
    def scorers(self) -> list[str]:
        """Scorers of the iterative strategies: ``perplexity`` of ``iterative_kmq_perplexity``."""
        names = [name for name in self.study.selection.strategies if STRATEGIES[name].iterative]
        return [name.removeprefix(ITERATIVE_PREFIX) for name in names]

    def trials_of(self, strategy: str) -> set[str]:
        return {trial_key(strategy, seed) for seed in self.study.seeds(strategy)}

    @property
    def compares(self) -> bool:
        """Whether trials are compared with the control's on held-out prompts."""
        return self.study.control is not None and bool(self.study.evaluation.held_out)

    def control_of(self, trial: str) -> str:
        """The control's trial that a trial's win rate is measured against: the same seed's."""
        control = self.study.control
        assert control is not None, "a study without a control has no win rates"
        _, seed = parse_trial(trial)
        return trial_key(control, seed % len(self.study.seeds(control)))

    # -- partitions definitions

    @cached_property
    def budgets(self) -> dg.StaticPartitionsDefinition:
        return dg.StaticPartitionsDefinition([budget_key(b) for b in sorted(self.study.selection.budgets)])

    @cached_property
    def measure(self) -> dg.StaticPartitionsDefinition:
        return dg.StaticPartitionsDefinition(list(MEASURES))

    @cached_property
    def cluster_count(self) -> dg.StaticPartitionsDefinition:
        return dg.StaticPartitionsDefinition([budget_key(c) for c in sorted(self.study.clustering.counts)])

    @cached_property
    def quality_scorer(self) -> dg.StaticPartitionsDefinition:
        return dg.StaticPartitionsDefinition([self.study.quality.scorer])

    @cached_property
    def strategy(self) -> dg.StaticPartitionsDefinition:
        return dg.StaticPartitionsDefinition([s.name for s in self.strategies])

    @cached_property
    def budget_strategy(self) -> dg.MultiPartitionsDefinition:
        return dg.MultiPartitionsDefinition({"budget": self.budgets, "strategy": self.strategy})

    @cached_property
    def budget_any_strategy(self) -> dg.MultiPartitionsDefinition:
        """Budget by strategy, those that choose in rounds among them."""
        every = dg.StaticPartitionsDefinition(list(self.study.selection.strategies))
        return dg.MultiPartitionsDefinition({"budget": self.budgets, "strategy": every})

    @cached_property
    def budget_scorer(self) -> dg.MultiPartitionsDefinition:
        return dg.MultiPartitionsDefinition(
            {"budget": self.budgets, "scorer": dg.StaticPartitionsDefinition(self.scorers)}
        )

    @cached_property
    def trials(self) -> list[str]:
        names = self.study.selection.strategies
        return [trial_key(name, seed) for name in names for seed in self.study.seeds(name)]

    @cached_property
    def budget_trial(self) -> dg.MultiPartitionsDefinition:
        return dg.MultiPartitionsDefinition(
            {"budget": self.budgets, "trial": dg.StaticPartitionsDefinition(self.trials)}
        )

    @cached_property
    def orders(self) -> dg.DynamicPartitionsDefinition:
        """The orders there are: a new one shows in the UI as it is placed; see ``running.instance``."""
        return dg.DynamicPartitionsDefinition(name=ORDERS)

    # -- mappings

    def measure_to_strategy(self) -> dg.StaticPartitionMapping:
        return dg.StaticPartitionMapping(
            {m: used for m in MEASURES if (used := {s.name for s in self.strategies if s.measure == m})}
        )

    def clusters_to_strategy(self) -> dg.StaticPartitionMapping:
        used = {s.name for s in self.strategies if CLUSTERS in s.needs}
        return dg.StaticPartitionMapping({budget_key(self.study.clustering.chosen): used} if used else {})

    def quality_to_strategy(self) -> dg.StaticPartitionMapping:
        used = {s.name for s in self.strategies if QUALITY in s.needs}
        return dg.StaticPartitionMapping({self.study.quality.scorer: used} if used else {})

    def chosen_clusters(self) -> dg.PartitionMapping:
        """The clustering that the rounds use, whatever their partition."""
        return dg.SpecificPartitionsPartitionMapping([budget_key(self.study.clustering.chosen)])

    def chosen_quality(self) -> dg.PartitionMapping:
        return dg.SpecificPartitionsPartitionMapping([self.study.quality.scorer])

    def ranking_to_selection(self) -> dg.PartitionMapping:
        return dg.MultiToSingleDimensionPartitionMapping("strategy")

    def selection_to_training_set(self) -> dg.PartitionMapping:
        return self._by_budget("strategy", "strategy", {s.name: {s.name} for s in self.strategies})

    def iterative_to_training_set(self) -> dg.PartitionMapping:
        return self._by_budget("scorer", "strategy", {s: {ITERATIVE_PREFIX + s} for s in self.scorers})

    def iterative_input(self) -> dict[str, dg.AssetIn]:
        """The ``iterative_selections`` input of ``training_sets``; none in a study without rounds."""
        if not self.scorers:
            return {}
        return {"iterative_selections": dg.AssetIn(partition_mapping=self.iterative_to_training_set())}

    def training_set_to_trial(self) -> dg.PartitionMapping:
        users: dict[str, set[str]] = {n: self.trials_of(n) for n in self.study.selection.strategies}
        return self._by_budget("strategy", "trial", users)

    def trial_and_control(self) -> dg.PartitionMapping:
        """A trial's adapter and its control's, at the same budget."""
        users: dict[str, set[str]] = {}
        for trial in self.trials:
            users.setdefault(trial, set()).add(trial)
            users.setdefault(self.control_of(trial), set()).add(trial)
        return self._by_budget("trial", "trial", users)

    def _by_budget(self, upstream: str, dimension: str, users: dict[str, set[str]]) -> dg.PartitionMapping:
        """The same budget; each key of ``upstream`` to its users along ``dimension``."""
        return dg.MultiPartitionMapping(
            {
                "budget": dg.DimensionPartitionMapping("budget", dg.IdentityPartitionMapping()),
                upstream: dg.DimensionPartitionMapping(dimension, dg.StaticPartitionMapping(users)),
            }
        )


def dimensions(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Dimension name to key of the two-dimensional cell being made."""
    definition = context.assets_def.partitions_def
    assert isinstance(definition, dg.MultiPartitionsDefinition)
    return dict(definition.get_partition_key_from_str(context.partition_key).keys_by_dimension)
