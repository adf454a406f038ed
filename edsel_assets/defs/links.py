"""Links of the UI: the exact partitions that a cell was made from. Dagster's own pointers leave them open."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import dagster as dg

from edsel_assets.planning.cells import Cell
from edsel_assets.running.dagster_internals import asset_key
from edsel_assets.study import Study

_MOST_LINKS = 3  # of one asset: the UI shows in place what has less than 1,000 characters


def made_from(study: Study, cells: Iterable[Cell]) -> dg.MetadataValue:
    """Links to the cells that a cell was made from, partitions of one asset on one line."""
    lines: dict[str, list[Cell]] = {}
    for cell in cells:
        lines.setdefault(cell.asset, []).append(cell)
    return dg.MetadataValue.md("\n".join(f"- {_line(study, asset, found)}" for asset, found in lines.items()))


def _line(study: Study, asset: str, cells: Sequence[Cell]) -> str:
    links = [f"[{_plain(str(cell))}]({cell_url(study, cell)})" for cell in cells[:_MOST_LINKS]]
    more = len(cells) - len(links)
    rest = [f"and {more} more of [{_plain(asset)}]({_page(study, asset)}?view=partitions)"] if more else []
    return ", ".join([*links, *rest])


def cell_url(study: Study, cell: Cell) -> str:
    """Where the UI shows one cell."""
    page = _page(study, cell.asset)
    return f"{page}?view=partitions&partition={quote(cell.partition, safe='')}" if cell.partition else page


def _page(study: Study, asset: str) -> str:
    return f"/assets/{quote(asset_key(study, asset).to_user_string())}"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]|<>])", r"\\\1", text)
