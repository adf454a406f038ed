"""The assets whose rows name their function: all that Dagster has to know of them is in the row."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import dagster as dg

from edsel_assets.defs.checks import checked
from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import TableWithFiles
from edsel_assets.defs.metadata import plot, preview, timed, versioned_output
from edsel_assets.defs.resources import BaseModel
from edsel_assets.kinds import study_of
from edsel_assets.kinds.assets import Asset
from edsel_assets.running.progress import progress_log


def build(graph: Graph) -> list[dg.AssetsDefinition]:
    named = [asset for asset in graph.assets.values() if asset.kind.make]
    return [graph.asset(asset.kind.name, asset.number)(_maker(graph, asset)) for asset in named]


def _maker(graph: Graph, asset: Asset) -> Callable[..., Iterator[Any]]:
    def made(context: dg.AssetExecutionContext, base_model: BaseModel, **inputs: Any) -> Iterator[Any]:
        from edsel_assets.kinds.making import Making

        key = context.partition_key if context.has_partition_key else None
        study = study_of(graph.study, asset.kind.name)
        log = progress_log(context.log, asset.name)
        making = Making(study, graph.home, asset.at(key), base_model.open, log)
        with timed() as time:
            found = _function(str(asset.kind.make))(making, **inputs)
        yield from checked(context, found.findings)
        beside = found.arrays or found.texts or found.items is not None
        value = TableWithFiles(found.table, dict(found.arrays), found.items, dict(found.texts))
        shown = {name: _shown(one) for name, one in found.shown.items()}
        yield versioned_output(context, value if beside else found.table, {**shown, **time})

    return made


def _function(named: str) -> Callable[..., Any]:
    module, _, name = named.partition(":")
    return getattr(import_module(module), name)


def _shown(value: Any) -> Any:
    import pyarrow as pa

    if isinstance(value, bytes):
        return plot(value)
    return preview(value, rows=40) if isinstance(value, pa.Table) else value
