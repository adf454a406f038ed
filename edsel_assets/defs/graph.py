"""What every asset module is given: the study, its partitions, and how to declare an asset."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

from edsel_assets.defs.partitions import Partitions
from edsel_assets.defs.versions import code_version
from edsel_assets.study import Study

#: Concurrency pool of the assets that want the device for themselves.
DEVICE_POOL = "gpu"


@dataclass
class Graph:
    """One study's view of the asset graph, handed to each module in ``assets/``.

    Attributes:
        home: ``$EDSEL_HOME``, under which everything lies.
        definitions: the whole, once assembled; an asset that runs reads its parents' versions by it.
    """

    study: Study
    home: Path
    definitions: dg.Definitions | None = None

    @cached_property
    def asset_graph(self) -> BaseAssetGraph:
        assert self.definitions is not None, "an asset ran before its definitions were assembled"
        return self.definitions.resolve_asset_graph()

    @property
    def store(self) -> Path:
        """Where this study's artifacts lie."""
        return self.home / "store" / self.study.name

    @cached_property
    def partitions(self) -> Partitions:
        return Partitions(self.study)

    def declare(
        self,
        group: str,
        kind: str,
        *,
        partitions_def: dg.PartitionsDefinition | None = None,
        ins: Mapping[str, dg.AssetIn] | None = None,
        key: list[str] | None = None,
        kinds: set[str] | None = None,
        device: bool = False,
        automatic: bool = True,
    ) -> dict[str, Any]:
        """Arguments of ``@dg.asset`` that every asset has in common.

        Args:
            group: the stage, as in the table of the README.
            kind: the asset's name in ``CODE_VERSIONS``.
            device: it wants the accelerator for itself.
            automatic: made again, once automation is switched on, when a parent's content has
                changed. Off for what costs training time: a person or a job starts that.
        """
        return {
            "group_name": group,
            "key": key or [kind],
            "code_version": code_version(self.study, kind),
            "partitions_def": partitions_def,
            "ins": ins,
            "kinds": kinds or {"python"},
            "pool": DEVICE_POOL if device else None,
            "automation_condition": on_changed_content() if automatic else None,
            "io_manager_key": "io_manager",
        }


def on_changed_content() -> dg.AutomationCondition:
    """Fire when a parent's data version changed, not merely because it ran again."""
    return (
        dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
        & ~dg.AutomationCondition.any_deps_missing()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("parent content changed")


def partition_of(mapping: dg.PartitionMapping, **metadata: Any) -> dg.AssetIn:
    return dg.AssetIn(partition_mapping=mapping, metadata=metadata or None)
