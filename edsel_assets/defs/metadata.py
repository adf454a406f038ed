"""What an asset hands to Dagster: its value, its versions, and metadata a person wants to see."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import TableWithArrays
from edsel_assets.defs.versions import SIGNATURE_TAG, Records, signature

_MAX_PLOT_BYTES = 100_000


def made(
    context: dg.AssetExecutionContext,
    graph: Graph,
    value: Any,
    metadata: Mapping[str, Any] | None = None,
    *,
    asset_key: dg.AssetKey | None = None,
    output_name: str = "result",
) -> dg.Output:
    """``value`` with its content as data version and its signature as a tag."""
    from edsel_assets.store import content_hash

    key = asset_key or context.asset_key
    partition = context.partition_key if context.has_partition_key else None
    records = Records(context.instance)
    return dg.Output(
        value,
        output_name=output_name,
        metadata={"rows": value.num_rows, **(metadata or {})} if hasattr(value, "num_rows") else metadata,
        data_version=dg.DataVersion(content_hash(_content(value))),
        tags={SIGNATURE_TAG: signature(graph.asset_graph, records, graph.study, key, partition)},
    )


def _content(value: Any) -> Any:
    """What of a value is its content: not the log of the training that led to an adapter."""
    if isinstance(value, TableWithArrays):
        return {"table": value.table, **value.arrays}
    if isinstance(value, Path):
        return {path.name: path for path in value.iterdir() if path.suffix == ".safetensors"}
    return value


def plot(png: bytes) -> dg.MetadataValue:
    """A picture that the UI shows in place."""
    if len(png) > _MAX_PLOT_BYTES:
        raise ValueError(f"A plot in metadata stays under {_MAX_PLOT_BYTES} bytes; got {len(png)}.")
    return dg.MetadataValue.md(f"![](data:image/png;base64,{base64.b64encode(png).decode()})")


def preview(table: Any, rows: int = 10, width: int = 100) -> dg.MetadataValue:
    """The first rows of a ``pyarrow.Table`` as a Markdown table; long text is cut."""
    names = [field.name for field in table.schema if not str(field.type).startswith("fixed_size_list")]
    lines = [" | ".join(["", *names, ""]).strip(), "|" + "---|" * len(names)]
    for row in table.select(names).slice(0, rows).to_pylist():
        lines.append("| " + " | ".join(_cell(row[name], width) for name in names) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: object, width: int) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
    if isinstance(value, list):
        text = ", ".join(_cell(v, 12) for v in value[:4]) + (" …" if len(value) > 4 else "")
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= width else text[: width - 1] + "…"


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """A dict that holds ``seconds`` once the block is left."""
    taken: dict[str, float] = {}
    start = time.perf_counter()
    yield taken
    taken["seconds"] = round(time.perf_counter() - start, 3)


def directory_size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def progress_log(context: dg.AssetExecutionContext, what: str) -> Callable[[int, int], None]:
    """A progress callback: a bar where the run has a terminal, a line in the run's log at each tenth."""
    told = {"tenth": 0}

    def progress(done: int, total: int) -> None:
        tenth = 10 * done // max(1, total)
        if tenth > told["tenth"]:
            told["tenth"] = tenth
            context.log.info(f"{what}: {done} of {total}")
        show_progress(what, done, total)

    return progress


#: Where ``edsel run`` draws; nothing elsewhere.
_LISTENERS: list[Callable[[str, int, int], None]] = []


def show_progress(what: str, done: int, total: int) -> None:
    for listener in _LISTENERS:
        listener(what, done, total)


@contextmanager
def listening(listener: Callable[[str, int, int], None]) -> Iterator[None]:
    """Have ``listener`` told (what, done, total) of every long step while the block runs."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)
