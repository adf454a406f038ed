"""Data sets of the hub, or in its layout on disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edsel_assets.pools.files import Opened, first_line
from edsel_assets.pools.source import PoolError, PoolSource

_HUB_SECONDS = 10.0


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


def data_set_commit(path: str, revision: str | None) -> str:
    """The commit of a data set of the hub that reading it gives now.

    The hub is asked, unless ``revision`` is a commit already. Where it does not answer, the library reads
    what was downloaded before, so that commit counts; without one, the revision's name.

    Raises:
        PoolError: the hub has no such data set or revision.
    """
    if revision and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    name = path.partition(":")[0]
    try:
        return str(HfApi().dataset_info(name, revision=revision, timeout=_HUB_SECONDS).sha)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise PoolError(
            f"The hub has no data set {name} of revision {revision or 'main'}: {first_line(error)}. "
            "Check both, and your access."
        ) from error
    except Exception:  # no answer: the library, its HTTP client and its offline mode raise many kinds
        found = try_to_load_from_cache(name, "README.md", repo_type="dataset", revision=revision)
        return Path(found).parent.name if isinstance(found, str) else f"revision {revision or 'main'}"


def _split(data: Any, name: str, split: str) -> Any:
    if split not in data:
        raise PoolError(
            f"{name} has no split {split!r}; it has {', '.join(data)}. Set split to one of these."
        )
    return data[split]
