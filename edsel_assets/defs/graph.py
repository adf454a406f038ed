"""What every asset module is given: the study, its partitions, and how to declare an asset."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.defs.partitions import Partitions
from edsel_assets.planning.cells import Lineage
from edsel_assets.planning.reads import code_version
from edsel_assets.running.dagster_internals import lineage_of
from edsel_assets.stages.checks import CHECKS, TEXTS, WARNINGS
from edsel_assets.study import Study

#: Concurrency pool of the assets that hold a model in memory and want the device, GPU or CPU, for themselves.
DEVICE_POOL = "model"


@dataclass
class Graph:
    """One study's view of the asset graph, handed to each module in ``assets/``.

    Attributes:
        home: ``$EDSEL_HOME``, under which everything lies.
        definitions: the whole, once assembled; jobs and sensors ask for its lineage.
    """

    study: Study
    home: Path
    definitions: dg.Definitions | None = None

    @cached_property
    def lineage(self) -> Lineage:
        assert self.definitions is not None, "a job ran before its definitions were assembled"
        return lineage_of(self.study, self.definitions)

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
    ) -> dict[str, Any]:
        """Arguments of ``@dg.asset`` that every asset has in common.

        Args:
            group: the stage, as in the table of the README.
            kind: the asset's name in ``planning.reads.READS``.
            device: it wants the accelerator for itself.
        """
        return {
            "group_name": group,
            "key": key or [kind],
            "code_version": code_version(self.study, kind),
            "partitions_def": partitions_def,
            "ins": ins,
            "kinds": kinds or {"python"},
            "check_specs": [
                dg.AssetCheckSpec(
                    name,
                    asset=dg.AssetKey(key or [kind]),
                    description=TEXTS[name],
                    blocking=name not in WARNINGS,
                    partitions_def=partitions_def,
                )
                for name in CHECKS.get(kind, ())
            ],
            "pool": DEVICE_POOL if device else None,
            "io_manager_key": "io_manager",
        }


def partition_of(mapping: dg.PartitionMapping, **metadata: Any) -> dg.AssetIn:
    return dg.AssetIn(partition_mapping=mapping, metadata=metadata or None)
