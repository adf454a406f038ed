"""Partition keys and partition mappings, all derived from the study and its strategies.

Nothing else in the graph writes a partition key by hand, so the lineage of one cell is exact:
``rankings[k_center]`` has no uncertainty parent, ``rankings[min_margin]`` exactly one.

Mappings are static to static, or one dimension at a time. A static mapping with a
two-dimensional side passes every local check of Dagster and then fails in its webserver and
daemon, so there is none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from edsel_assets.keys import budget_key, trial_key
from edsel_assets.running.dagster_internals import ORDERS
from edsel_assets.selection.strategy import CLUSTERS, EMBEDDINGS, QUALITY, Strategy
from edsel_assets.study import MEASURES, Study


@dataclass(frozen=True)
class Partitions:
    """Every partitions definition and mapping of one study's graph."""

    study: Study

    # -- the strategies of this study

    @cached_property
    def strategies(self) -> list[Strategy]:
        """Strategies that rank once, in the study's order."""
        rows = [self.study.strategy(name) for name in self.study.selection.names]
        return [row for row in rows if not row.iterative]

    @cached_property
    def iterative(self) -> list[Strategy]:
        """Strategies that choose in rounds."""
        rows = [self.study.strategy(name) for name in self.study.selection.names]
        return [row for row in rows if row.iterative]

    def trials_of(self, strategy: str) -> set[str]:
        return {trial_key(strategy, seed) for seed in self.study.seeds(strategy)}

    @property
    def judges(self) -> bool:
        """Whether a judge reads the trials' answers."""
        judge = self.study.evaluation.judge
        return judge is not None and judge.model is not None

    # -- partitions definitions

    @cached_property
    def budgets(self) -> dg.StaticPartitionsDefinition:
        """The budgets of any strategy; ``planning.cells.is_asked_for`` says whose each is."""
        return dg.StaticPartitionsDefinition([budget_key(b) for b in self.study.selection.every_budget])

    @cached_property
    def measure(self) -> dg.StaticPartitionsDefinition:
        return dg.StaticPartitionsDefinition(list(MEASURES))

    @cached_property
    def own_clusterings(self) -> list[str]:
        """Keys of the clusterings of the study's own embeddings."""
        return [budget_key(count) for count in sorted(self.study.clustering.counts)]

    @cached_property
    def clustering(self) -> dg.StaticPartitionsDefinition:
        used = {self.study.clustering_of(name) for name in self.study.selection.variants}
        return dg.StaticPartitionsDefinition(
            [*self.own_clusterings, *sorted(used - set(self.own_clusterings))]
        )

    @cached_property
    def other_embeddings(self) -> dg.StaticPartitionsDefinition | None:
        names = sorted(self.study.other_embeddings)
        return dg.StaticPartitionsDefinition(names) if names else None

    @cached_property
    def quality_scorer(self) -> dg.StaticPartitionsDefinition:
        names = [self.study.quality.scorer, *map(self.study.quality_of, self.study.selection.variants)]
        return dg.StaticPartitionsDefinition(list(dict.fromkeys(names)))

    @cached_property
    def strategy(self) -> dg.StaticPartitionsDefinition:
        return dg.StaticPartitionsDefinition([s.name for s in self.strategies])

    @cached_property
    def budget_strategy(self) -> dg.MultiPartitionsDefinition:
        return dg.MultiPartitionsDefinition({"budget": self.budgets, "strategy": self.strategy})

    @cached_property
    def budget_any_strategy(self) -> dg.MultiPartitionsDefinition:
        """Budget by strategy, those that choose in rounds among them."""
        every = dg.StaticPartitionsDefinition(self.study.selection.names)
        return dg.MultiPartitionsDefinition({"budget": self.budgets, "strategy": every})

    @cached_property
    def trials(self) -> list[str]:
        names = self.study.selection.names
        return [trial_key(name, seed) for name in names for seed in self.study.seeds(name)]

    @cached_property
    def budget_trial(self) -> dg.MultiPartitionsDefinition:
        return dg.MultiPartitionsDefinition(
            {"budget": self.budgets, "trial": dg.StaticPartitionsDefinition(self.trials)}
        )

    @cached_property
    def budget_rounds(self) -> dg.MultiPartitionsDefinition:
        """Budget by trial of the strategies that choose in rounds: each seed has rounds of its own."""
        trials = [trial_key(s.name, seed) for s in self.iterative for seed in self.study.seeds(s.name)]
        return dg.MultiPartitionsDefinition(
            {"budget": self.budgets, "trial": dg.StaticPartitionsDefinition(trials)}
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
        return self._to_strategy(CLUSTERS, self.study.clustering_of)

    def quality_to_strategy(self) -> dg.StaticPartitionMapping:
        return self._to_strategy(QUALITY, self.study.quality_of)

    # Dagster does not read the annotation of ``**inputs``, so these inputs are given their type.

    def other_embeddings_input(self, kind: Any) -> dict[str, dg.AssetIn]:
        """The input ``other_embeddings`` of ``rankings``; none in a study without them."""
        mapping = self._to_strategy(EMBEDDINGS, self.study.embeddings_of)
        return self._other_embeddings(mapping, kind)

    def clustered_input(self, kind: Any) -> dict[str, dg.AssetIn]:
        """The same of ``clusters``."""
        return self._other_embeddings(self._other_embeddings_to_clusters(), kind)

    def _other_embeddings(self, mapping: dg.PartitionMapping, kind: Any) -> dict[str, dg.AssetIn]:
        if self.other_embeddings is None:
            return {}
        return {"other_embeddings": dg.AssetIn(partition_mapping=mapping, dagster_type=kind)}

    def _other_embeddings_to_clusters(self) -> dg.StaticPartitionMapping:
        users: dict[str, set[str]] = {}
        for key in self.clustering.get_partition_keys():
            name, dot, _ = key.rpartition(".")
            if dot:
                users.setdefault(name, set()).add(key)
        return dg.StaticPartitionMapping(users)

    def _to_strategy(self, signal: str, key_of: Callable[[str], str | None]) -> dg.StaticPartitionMapping:
        """Each key of a signal to the strategies that read it."""
        users: dict[str, set[str]] = {}
        for row in self.strategies:
            key = key_of(row.name)
            if signal in row.needs and key is not None:
                users.setdefault(key, set()).add(row.name)
        return dg.StaticPartitionMapping(users)

    def own_clusters(self) -> dg.PartitionMapping:
        """The clusterings of the study's own embeddings."""
        return dg.SpecificPartitionsPartitionMapping(self.own_clusterings)

    def quality_of_rounds(self) -> dg.PartitionMapping:
        return dg.SpecificPartitionsPartitionMapping(
            list(dict.fromkeys(self.study.quality_of(s.name) for s in self.iterative))
        )

    def chosen_quality(self) -> dg.PartitionMapping:
        return dg.SpecificPartitionsPartitionMapping([self.study.quality.scorer])

    def clusters_of_rounds(self) -> dg.PartitionMapping:
        return self._clusters_of(self.iterative)

    def clusters_of_any(self) -> dg.PartitionMapping:
        return self._clusters_of([*self.strategies, *self.iterative])

    def _clusters_of(self, rows: Sequence[Strategy]) -> dg.PartitionMapping:
        """The clusterings that strategies use; ``planning.cells.is_read`` says which of them a cell reads.

        A static mapping to two dimensions fails in Dagster's servers.
        """
        used = dict.fromkeys(self.study.clustering_of(row.name) for row in rows)
        return dg.SpecificPartitionsPartitionMapping(list(used))

    def score_inputs(self, kind: Any) -> dict[str, dg.AssetIn]:
        """The scores that strategies prefer prompts by; which of them a cell reads, ``is_read`` says too."""
        rows = [*self.strategies, *self.iterative]
        used: dict[str, list[str]] = {
            "uncertainty_scores": [row.measure for row in rows if row.measure],
            "quality_scores": [self.study.quality_of(row.name) for row in rows if QUALITY in row.needs],
        }
        return {
            name: dg.AssetIn(
                partition_mapping=dg.SpecificPartitionsPartitionMapping(list(dict.fromkeys(keys))),
                dagster_type=kind,
            )
            for name, keys in used.items()
            if keys
        }

    def selections_of_budget(self) -> dg.PartitionMapping:
        return dg.MultiToSingleDimensionPartitionMapping("budget")

    def ranking_to_selection(self) -> dg.PartitionMapping:
        return dg.MultiToSingleDimensionPartitionMapping("strategy")

    def selection_to_training_set(self) -> dg.PartitionMapping:
        return self._by_budget("strategy", "strategy", {s.name: {s.name} for s in self.strategies})

    def iterative_input(self, kind: Any) -> dict[str, dg.AssetIn]:
        """The ``iterative_selections`` input of ``training_sets``; none in a study without rounds."""
        if not self.iterative:
            return {}
        users = {trial: {s.name} for s in self.iterative for trial in self.trials_of(s.name)}
        mapping = self._by_budget("trial", "strategy", users)
        return {"iterative_selections": dg.AssetIn(partition_mapping=mapping, dagster_type=kind)}

    def chain_input(self, kind: Any) -> dict[str, dg.AssetIn]:
        """The rounds' checkpoints as inputs of ``lora_adapters``, where trials go on from them."""
        rounds = self.study.rounds
        if not self.iterative or rounds.start != "continue":
            return {}
        users = {trial: {trial} for s in self.iterative for trial in self.trials_of(s.name)}
        mapping = self._by_budget("trial", "trial", users)
        return {
            f"checkpoint_{number}": dg.AssetIn(
                dg.AssetKey([f"round_{number}", "checkpoint"]), partition_mapping=mapping, dagster_type=kind
            )
            for number in range(1, rounds.rounds)
        }

    def training_set_to_trial(self) -> dg.PartitionMapping:
        users: dict[str, set[str]] = {n: self.trials_of(n) for n in self.study.selection.names}
        return self._by_budget("strategy", "trial", users)

    def reference_trial(self, reference: str) -> dg.PartitionMapping:
        """The one trial that a judge compares all others with."""
        return dg.SpecificPartitionsPartitionMapping([reference])

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
