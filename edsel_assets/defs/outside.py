"""What a cell depends on that is not an asset: the pool's files, the annotations', the model's."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from edsel_assets.defs.resources import BaseModel
from edsel_assets.study import PoolSettings, Study

_READS_MODEL = {"embeddings", "token_probabilities", "lora_adapters", "base_scores", "round_checkpoint"}


def outside(study: Study, kind: str) -> Any:
    """The state of the files that an asset of this kind reads; None where it reads none."""
    if kind == "pool":
        from edsel_assets.pools import pool_files

        return [list(entry) for entry in pool_files(pool_source(study.pool))]
    if kind == "annotations" and study.pool.annotations and Path(study.pool.annotations).exists():
        status = Path(study.pool.annotations).stat()
        return [status.st_size, status.st_mtime_ns]
    if kind in _READS_MODEL:
        path = BaseModel.of(study.model).path
        return _model_files(study.model.revision, study.model.dtype, path, _stamp(Path(path)))
    return None


def pool_source(settings: PoolSettings) -> Any:
    """The study's pool as ``edsel_assets.pools`` reads it."""
    from edsel_assets.pools import PoolSource

    return PoolSource(**settings.model_dump(exclude={"annotations", "annotated_only"}))


def _stamp(folder: Path) -> tuple[Any, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in folder.iterdir()))


@lru_cache(maxsize=8)
def _model_files(revision: str | None, dtype: str, path: str, stamp: tuple[Any, ...]) -> Any:
    from edsel_assets.stages.signals import model_identity

    return model_identity(revision, dtype, path)
