"""What every asset module is given: the study, and how an asset is declared from its row in ``KINDS``."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster as dg

from edsel_assets.defs.io_managers import StoredTable
from edsel_assets.defs.partitions import Partitions
from edsel_assets.kinds import code_version
from edsel_assets.kinds.assets import Asset, Input, asset_name
from edsel_assets.kinds.checks import TEXTS, WARNINGS
from edsel_assets.planning.cells import Cell, Lineage
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.running.dagster_internals import ALLOW_MISSING, DEVICE_POOL, asset_key, asset_of, named
from edsel_assets.running.instance import WAITS_TAG
from edsel_assets.store import Home, Store
from edsel_assets.study import Study

if TYPE_CHECKING:
    from edsel_assets.running.local import Pool

#: Resources that an asset's function may name among its arguments.
_RESOURCES = ("base_model",)
#: The resource that kinds whose base model is the one that selects are given in its place.
_SELECTING = "selecting_model"

_UNREAD = "Nothing of this study reads it: a run leaves it out, unless it is asked for by name."

Launcher = Callable[[Study, Home], AbstractContextManager["Pool"]]


@dataclass
class Graph:
    """One study's view of the asset graph, handed to each module in ``assets/``.

    Attributes:
        home: ``$EDSEL_HOME``, under which everything lies.
        definitions: the whole, once assembled; jobs carry out runs with it.
        launcher: gives the pool in which jobs make their cells; None for the process of the job.
    """

    study: Study
    home: Home
    definitions: dg.Definitions | None = None
    launcher: Launcher | None = None

    @property
    def lineage(self) -> Lineage:
        """With the orders placed by now."""
        return lineage_of(self.study, self.home)

    @property
    def store(self) -> Store:
        """Where this study's artifacts lie."""
        return self.home.store(self.study.name)

    @cached_property
    def partitions(self) -> Partitions:
        return Partitions(self.study)

    def named(self, name: str) -> str:
        """What a job, a resource or a group of the study is called in Dagster."""
        return named(self.study, name)

    def key(self, asset: str) -> dg.AssetKey:
        """The key of an asset of the study in Dagster."""
        return asset_key(self.study, asset)

    def cell(self, context: dg.AssetExecutionContext) -> Cell:
        """The cell that is being made."""
        asset = asset_of(self.study, context.asset_key)
        assert asset is not None, "an asset of the study has a key of the study"
        return Cell(asset, context.partition_key if context.has_partition_key else None)

    @property
    def assets(self) -> dict[str, Asset]:
        """The study's assets by name."""
        return self.partitions.table.assets

    def asset(self, kind: str, number: int | None = None) -> Callable[..., dg.AssetsDefinition]:
        """Declare the asset whose value the decorated function gives.

        The function is called with the context and its inputs by name, None for an input that is not there
        in this study or for this cell. It returns a ``dg.Output``, or yields one and the outcomes of checks.

        Args:
            kind: the name of its row in ``KINDS``.
            number: of the round.
        """
        asset = self.assets[asset_name(kind, number)]

        def declared(function: Callable[..., Any]) -> dg.AssetsDefinition:
            held = [name for name in _RESOURCES if name in inspect.signature(function).parameters]
            keys = {name: self.named(_SELECTING if asset.kind.selecting else name) for name in held}

            def made(context: dg.AssetExecutionContext, **inputs: Any) -> Iterator[Any]:
                if self._waits(asset, context):
                    return  # what needs it is skipped
                given = {name: getattr(context.resources, key) for name, key in keys.items()}
                result = function(context, **_given(function, asset, inputs), **given)
                if isinstance(result, dg.Output):
                    yield result
                else:
                    yield from result

            description = self.described(asset, inspect.getdoc(function))
            return dg.asset(
                **self.declare(asset), description=description, required_resource_keys=set(keys.values())
            )(made)

        return declared

    def described(self, asset: Asset, docstring: str | None = None) -> str | None:
        """What the UI says of an asset."""
        said = asset.summary or docstring
        return f"{said}\n\n{_UNREAD}" if asset.name in self.partitions.table.unread else said

    def _waits(self, asset: Asset, context: dg.AssetExecutionContext) -> bool:
        """Whether a cell lacks answers; its run then says so and leaves it out, as the command does."""
        if asset.kind.waits is None:
            return False
        from edsel_assets.planning.answers import Answers

        cell = Cell(asset.name, context.partition_key)
        why = Answers(self.store).waits(cell, self.lineage)
        if why:
            context.log.info(f"{why}. It is left out.")
            context.instance.add_run_tags(context.run.run_id, {WAITS_TAG: why})
        return bool(why)

    def declare(self, asset: Asset) -> dict[str, Any]:
        """Arguments of ``@dg.asset``, by the asset's row."""
        kind, key = asset.kind, self.key(asset.name)
        partitions = self.partitions.of(asset)
        return {
            "group_name": self.named(asset.group),
            "key": key,
            "code_version": code_version(self.study, kind.name),
            "partitions_def": partitions,
            "ins": {each.name: self._input(asset, each) for each in asset.inputs},
            "kinds": set(kind.tags),
            "check_specs": [
                dg.AssetCheckSpec(
                    name,
                    asset=key,
                    description=TEXTS[name],
                    blocking=name not in WARNINGS,
                    partitions_def=partitions,
                )
                for name in kind.checks
            ],
            "pool": DEVICE_POOL if kind.device(self.study) else None,
            "output_required": kind.waits is None,
            "io_manager_key": self.named("io_manager"),
        }

    def _input(self, asset: Asset, each: Input) -> dg.AssetIn:
        parent = each.parent
        lazy = parent.lazy or parent.columns is not None
        return dg.AssetIn(
            self.key(each.asset),
            partition_mapping=self.partitions.mapping(asset, each),
            metadata={ALLOW_MISSING: True} if parent.optional else None,
            # The IO manager reads by this type: a dict by partition key, a table when it is asked for.
            dagster_type=_TYPES[parent.many or parent.optional, lazy],
        )


#: By whether several partitions are read, and whether each is read when asked for.
_TYPES: dict[tuple[bool, bool], Any] = {
    (True, False): dict[str, Any] | None,
    (True, True): dict[str, StoredTable] | None,
    (False, True): StoredTable | None,
    (False, False): Any,
}


def _given(function: Callable[..., Any], asset: Asset, inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs as the function takes them."""
    for each in asset.inputs:
        value = inputs[each.name]
        if each.parent.columns is not None and value is not None:
            inputs[each.name] = value.read(list(each.parent.columns))
    parameters = list(inspect.signature(function).parameters.values())[1:]
    plain = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in _RESOURCES]
    return {**dict.fromkeys(plain), **inputs}
