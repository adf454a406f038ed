"""Data sets of the hub, or in its layout on disk."""

from __future__ import annotations

from typing import Any

from edsel_assets.pools.errors import PoolError
from edsel_assets.pools.files import Opened, first_line
from edsel_assets.pools.source import PoolSource


def load_data_set(opened: Opened, source: PoolSource) -> Any:
    """The split of ``source`` of a data set.

    Raises:
        PoolError: no such data set, configuration or split, or no connection.
    """
    import datasets

    name, _, config = opened.path.partition(":") if opened.fs is None else (opened.path, "", "")
    try:
        if opened.fs is not None and not opened.fs.exists(f"{opened.path}/README.md"):
            data = datasets.load_from_disk(opened.path)
            if isinstance(data, datasets.DatasetDict):
                data = _split(data, opened.name, source.split)
            return data
        return datasets.load_dataset(name, config or None, split=source.split, revision=source.revision)
    except PoolError:
        raise
    except Exception as error:  # the library raises many kinds, its own and others'
        raise PoolError(
            f"Cannot load {opened.name} as a data set, split {source.split!r}: {first_line(error)}. Check "
            "the name (OWNER/NAME:CONFIG where it has several), the split and the connection; if a file is "
            "meant, it does not exist."
        ) from error


def _split(data: Any, name: str, split: str) -> Any:
    if split not in data:
        raise PoolError(
            f"{name} has no split {split!r}; it has {', '.join(data)}. Set split to one of these."
        )
    return data[split]
