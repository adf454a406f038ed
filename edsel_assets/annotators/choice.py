"""The annotator that a study names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from edsel_assets.annotation import AnnotationError
from edsel_assets.annotators.chat import ChatAnnotator
from edsel_assets.annotators.folder import FolderAnnotator
from edsel_assets.annotators.pool import PoolAnnotator
from edsel_assets.annotators.protocol import Annotator
from edsel_assets.keys import CellKey
from edsel_assets.store import Store, read_table
from edsel_assets.study.annotators import AnnotatorSettings


def annotator_of(settings: AnnotatorSettings, store: Store) -> Annotator:
    """Who answers by these settings.

    Args:
        store: of the study: its pool, and what an annotator keeps.

    Raises:
        AnnotationError: the answers come from people, by files.
    """
    if settings.kind not in _KINDS:
        raise AnnotationError(
            "The study's answers come from people: edsel export, then edsel import. To have orders answered "
            f"without files, set annotation.annotator.kind to {', '.join(_KINDS)}."
        )
    return _KINDS[settings.kind](settings, store)


def _pool(settings: AnnotatorSettings, store: Store) -> Annotator:
    def read() -> pa.Table:
        return read_table(store.table(CellKey("pool")), ["prompt_id", "response"])

    return PoolAnnotator(read)


def _folder(settings: AnnotatorSettings, store: Store) -> Annotator:
    folder = Path(settings.folder or "").expanduser()
    return FolderAnnotator(folder, store.answer_files, settings.settle_seconds)


def _chat(settings: AnnotatorSettings, store: Store) -> Annotator:
    return ChatAnnotator(settings, store.annotator_replies)


_KINDS: dict[str, Callable[[AnnotatorSettings, Store], Annotator]] = {
    "pool": _pool,
    "folder": _folder,
    "openai": _chat,
}
