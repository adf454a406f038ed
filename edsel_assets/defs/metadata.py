"""What an asset hands to Dagster: its value, its version, and metadata a person wants to see."""

import hashlib
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.running.asked import by_edsel
from edsel_assets.running.ui.pages import PICTURES

_PICTURE_WIDTH = 470  # pixels; as wide as the column of values on an asset's page in a window of 1,500
_MOST_INLINE = 75_000  # bytes: 100,000 characters of the log
_ID_WIDTH = 13  # characters of an id: as the terminal shows it, and a sign that it is cut


def versioned_output(
    context: dg.AssetExecutionContext,
    value: Any,
    metadata: Mapping[str, Any] | None = None,
    *,
    output_name: str = "result",
    seed: int | None = None,
    data_sets: Mapping[str, str] | None = None,
    parts: Mapping[str, Any] | None = None,
    resolved: Mapping[str, Any] | None = None,
) -> dg.Output:
    """``value`` with the hash of its content as data version; both go into the cell's ledger.

    Args:
        seed: of the random draws that made it.
        data_sets: files outside that were found to be read only while it was made, by name, as hashes.
        parts: tables cut from a table, by name, that may be read alone (``StoredTable.read_part``).
        resolved: what settings that may be auto came to, by dotted name.
    """
    from edsel_assets.planning.recording import content_of, step_record
    from edsel_assets.store import content_hash

    step = context.op_execution_context.get_step_execution_context().step
    record = step_record(context.run.run_id, step.key)
    content = content_of(value)
    if parts:
        hashes = {name: content_hash(part) for name, part in parts.items()}
        content = replace(content, columns={**(content.columns or {}), **hashes})
    record.contents[output_name] = content
    if seed is not None:
        record.seeds[output_name] = seed
    record.data_sets.update(data_sets or {})
    record.resolved[output_name] = dict(resolved or {})
    rows = {} if content.rows is None else {"rows": content.rows}
    shown = {name: _keep(name, value, record.pictures) for name, value in (metadata or {}).items()}
    return dg.Output(
        value,
        output_name=output_name,
        metadata={**rows, **shown},
        data_version=dg.DataVersion(content.value),
    )


@dataclass(frozen=True)
class Picture:
    """A PNG file that the UI shows in place."""

    png: bytes


def plot(png: bytes) -> Picture:
    """A picture for the metadata of ``versioned_output``.

    The UI shows Markdown in place up to 1,000 characters only, which no picture has. So the file is kept in
    the home's ``pictures`` under the hash of its content, as it is and as wide as the UI's column, and the
    Markdown holds the addresses, which ``edsel ui`` serves (``running.ui.pages``): a click shows the whole.
    Where Dagster runs without edsel the Markdown holds the picture itself, which the UI shows after a click,
    or there is the name of its file in the home, where it is large.
    """
    return Picture(png)


def _keep(name: str, value: Any, pictures: dict[str, bytes]) -> Any:
    if not isinstance(value, Picture):
        return value
    from edsel_assets.report.style import narrowed

    whole, small = _kept(value.png, pictures), narrowed(value.png, _PICTURE_WIDTH)
    if by_edsel():
        address = f"{PICTURES}{_kept(small, pictures)}"
        return dg.MetadataValue.md(f"[![{name}, which edsel ui shows]({address})]({PICTURES}{whole})")
    if len(small) > _MOST_INLINE:
        return dg.MetadataValue.path(f"pictures/{whole}")
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{b64encode(small).decode()})")


def _kept(png: bytes, pictures: dict[str, bytes]) -> str:
    """The name of the file that a picture is kept in."""
    digest = hashlib.blake2b(png, digest_size=16).hexdigest()
    pictures[digest] = png
    return f"{digest}.png"


def preview(table: Any, rows: int = 10, width: int = 100) -> dg.MetadataValue:
    """The first rows of a ``pyarrow.Table``, which the UI shows in place; long text is cut.

    The UI shows the cells of a table as plain text, so a prompt is never taken for Markdown or HTML.
    """
    names = [field.name for field in table.schema if not str(field.type).startswith("fixed_size_list")]
    found = table.select(names).slice(0, rows).to_pylist()
    widths = {"prompt_id": _ID_WIDTH}
    return rows_table(
        [{name: _shown(row[name], widths.get(name, width)) for name in names} for row in found], names
    )


def rows_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dg.MetadataValue:
    """Rows of text and numbers as a table that the UI shows in place."""
    schema = dg.TableSchema([dg.TableColumn(name) for name in names])
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows], schema)


def _shown(value: object, width: int) -> str:
    if isinstance(value, list):
        return ", ".join(_shown(v, 12) for v in value[:4]) + (" …" if len(value) > 4 else "")
    text = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
    text = " ".join(text.split())
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
