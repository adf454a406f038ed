"""When a cell is up to date: its code, the settings it reads, and its parents' content.

A cell's code, the settings and the files it reads, and its parents decide its value. Their hash,
the *signature*, is recorded with every materialization (tag ``edsel/inputs``); a cell whose
signature has changed since is stale. It is exact per partition, where Dagster's own staleness is
per asset and stops at 100 parents.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from edsel_assets.defs.outside import outside
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.study import Study

SIGNATURE_TAG = "edsel/inputs"
_QUERY_EVENTS = 500  # SQLite takes at most 999 parameters in some builds

#: Raised when the meaning of an asset's value changes, with a line in its module that says why.
CODE_VERSIONS: Mapping[str, str] = {
    "pool": "1",
    "annotations": "1",
    "embeddings": "1",
    "token_probabilities": "1",
    "uncertainty_scores": "1",
    "clusters": "1",
    "quality_scores": "1",
    "kernel_width": "1",
    "cluster_count": "1",
    "cluster_quality": "1",
    "rankings": "1",
    "selections": "1",
    "lora_adapters": "1",
    "base_scores": "1",
    "benchmark_scores": "1",
    "win_rates": "1",
    "round_selection": "1",
    "round_checkpoint": "1",
    "round_weights": "1",
    "iterative_selections": "1",
    "label_efficiency": "1",
}

#: A trial is one measurement: if its adapter is made anew, so are its scores and the report, even
#: where the bytes agree (on many accelerators they do not).
MEASURED_ANEW = frozenset({"lora_adapters", "benchmark_scores"})

#: Settings of ``selection`` that each strategy reads; the rest cannot make its ranking stale.
_STRATEGY_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "random": ("seed",),
    "k_center": ("normalise", "seed_point", "seed"),
    "fl_cosine": (),
    "fl_rbf": ("normalise", "gamma", "gammas"),
    "fl_rbf_min_margin": ("normalise", "gamma", "gammas", "utility_weight"),
    "km_random": ("seed",),
    "kmq": ("seed", "replacement", "quality_temperature"),
    "deita": ("deita_threshold",),
    "qdit": ("qdit_alpha",),
    "iterative_kmq_perplexity": ("seed", "replacement", "quality_temperature"),
}


def kind_of(asset_key: dg.AssetKey) -> str:
    """The asset's name in ``CODE_VERSIONS``: ``round_2/weights`` is ``round_weights``."""
    if len(asset_key.path) == 2 and asset_key.path[0].startswith("round_"):
        return f"round_{asset_key.path[1]}"
    return asset_key.path[-1]


def settings_of(study: Study, kind: str, partition: str | None = None) -> dict[str, Any]:
    """The settings that decide the value of a cell; without a partition, of the whole asset."""
    model = study.model.model_dump(exclude={"device"})
    forward = study.forward.model_dump(exclude={"batch_tokens", "shard_rows"})
    tuning = study.finetuning.model_dump(exclude={"seeds", "random_seeds", "micro_batch_tokens"})
    evaluation = study.evaluation.model_dump(exclude={"win_rate_prompts", "batch_tokens"})
    rounds = study.rounds.model_dump()
    readers: dict[str, Callable[[], dict[str, Any]]] = {
        "pool": lambda: {"pool": study.pool.model_dump(exclude={"annotations"})},
        "annotations": lambda: {"annotations": study.pool.annotations},
        "embeddings": lambda: {
            "model": model,
            "forward": forward,
            "embeddings": study.embeddings.model_dump(),
        },
        "token_probabilities": lambda: {"model": model, "forward": forward},
        "uncertainty_scores": lambda: {"uncertainty": study.uncertainty.model_dump()},
        "clusters": lambda: {"clustering": study.clustering.model_dump(exclude={"counts", "count"})},
        "quality_scores": lambda: {"scorer": study.quality.scorer},
        "kernel_width": lambda: {
            "gammas": study.selection.gammas,
            "budget": max(study.selection.budgets),
            "normalise": study.selection.normalise,
        },
        "cluster_count": lambda: {"counts": study.clustering.counts},
        "cluster_quality": lambda: {"threshold": study.quality.threshold},
        "rankings": lambda: _ranking_settings(study, partition),
        "selections": dict,
        "lora_adapters": lambda: {"model": model, "finetuning": tuning},
        "base_scores": lambda: {"model": model, "evaluation": evaluation},
        "benchmark_scores": lambda: {"evaluation": evaluation},
        "win_rates": lambda: {"prompts": study.evaluation.win_rate_prompts},
        "round_selection": lambda: {
            "selection": _ranking_settings(study, "iterative_kmq_perplexity"),
            "rounds": rounds,
        },
        "round_checkpoint": lambda: {"model": model, "finetuning": tuning, "rounds": rounds},
        "round_weights": lambda: {"rounds": rounds},
        "iterative_selections": dict,
        "label_efficiency": lambda: {"control": study.report.control, "tasks": evaluation["tasks"]},
    }
    return readers[kind]()


def _ranking_settings(study: Study, strategy: str | None) -> dict[str, Any]:
    selection = study.selection
    if strategy is None:
        return selection.model_dump(exclude={"strategies", "memory_limit_gib"})
    row = STRATEGIES[strategy]
    settings: dict[str, Any] = {
        name: getattr(selection, name) for name in _STRATEGY_SETTINGS.get(strategy, ())
    }
    settings["budgets"] = [max(selection.budgets)] if row.nested else sorted(selection.budgets)
    if row.stochastic and not row.iterative:
        settings["replicates"] = len(study.seeds(strategy))
    return settings


def code_version(study: Study, kind: str) -> str:
    """What Dagster compares: the code's version and a hash of the asset's settings."""
    from edsel_assets.store import fingerprint

    return f"{CODE_VERSIONS[kind]}-{fingerprint(**settings_of(study, kind))[:8]}"


@dataclass(frozen=True)
class Record:
    """What the event log says of the latest materialization of one cell."""

    data_version: str
    signature: str | None
    event: int


class Records:
    """Latest materializations of an instance, read once per asset until told to forget."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._known: dict[dg.AssetKey, dict[str | None, Record]] = {}

    def of(self, asset_key: dg.AssetKey, *, partitioned: bool) -> dict[str | None, Record]:
        """The latest record of each partition; of None where the asset has none."""
        if asset_key not in self._known:
            events = self._latest_of_partitions(asset_key) if partitioned else self._latest(asset_key)
            records = {key: _record(event) for key, event in events.items()}
            self._known[asset_key] = {key: record for key, record in records.items() if record}
        return self._known[asset_key]

    def forget(self, asset_keys: Iterable[dg.AssetKey]) -> None:
        for key in asset_keys:
            self._known.pop(key, None)

    def _latest(self, asset_key: dg.AssetKey) -> dict[str | None, dg.EventLogRecord]:
        found = self._instance.fetch_materializations(asset_key, limit=1).records
        return {None: found[0]} if found else {}

    def _latest_of_partitions(self, asset_key: dg.AssetKey) -> dict[str | None, dg.EventLogRecord]:
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        ids = list(
            self._instance.event_log_storage.get_latest_storage_id_by_partition(asset_key, kind).values()
        )
        found: list[dg.EventLogRecord] = []
        for start in range(0, len(ids), _QUERY_EVENTS):
            part = ids[start : start + _QUERY_EVENTS]
            chosen = dg.AssetRecordsFilter(asset_key=asset_key, storage_ids=part)
            found += self._instance.fetch_materializations(chosen, limit=len(part)).records
        return {record.partition_key: record for record in found}


def _record(event: dg.EventLogRecord) -> Record | None:
    """None for an event that another tool recorded, without versions."""
    materialization = event.asset_materialization
    tags = (materialization.tags if materialization else None) or {}
    if DATA_VERSION_TAG not in tags:
        return None
    return Record(tags[DATA_VERSION_TAG], tags.get(SIGNATURE_TAG), event.storage_id)


def signature(
    graph: BaseAssetGraph, records: Records, study: Study, asset_key: dg.AssetKey, partition: str | None
) -> str:
    """Hash of all that decides a cell: its code, its settings and its parents' latest versions."""
    from edsel_assets.store import fingerprint

    parents: dict[str, str | int | None] = {}
    for parent in graph.get_parents_partitions(asset_key, partition).parent_partitions:
        known = records.of(parent.asset_key, partitioned=graph.get(parent.asset_key).is_partitioned)
        record = known.get(parent.partition_key)
        name = f"{parent.asset_key.to_user_string()}[{parent.partition_key or ''}]"
        anew = kind_of(parent.asset_key) in MEASURED_ANEW
        parents[name] = None if record is None else record.event if anew else record.data_version
    kind = kind_of(asset_key)
    return fingerprint(
        code=CODE_VERSIONS[kind],
        settings=settings_of(study, kind, partition),
        outside=outside(study, kind),
        parents=parents,
    )
