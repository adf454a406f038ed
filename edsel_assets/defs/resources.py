"""What assets and jobs share: the base model, loaded once a process, and who answers orders."""

import warnings
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.planning.external import model_path
from edsel_assets.store import Store
from edsel_assets.study import Study

_LOADED: dict[str, Any] = {}


class Annotator(dg.ConfigurableResource):
    """Who answers the study's orders; ``settings`` are those of the study's ``annotation.annotator``."""

    settings: dict[str, Any]
    store: str

    @classmethod
    def of(cls, study: Study, store: Store) -> "Annotator":
        return cls(
            settings=study.annotation.annotator.model_dump(mode="json", exclude_none=True), store=str(store)
        )

    def open(self) -> Any:
        """The ``annotators.Annotator``.

        Raises:
            AnnotationError: the answers come from people, by files.
        """
        from edsel_assets.annotators import annotator_of
        from edsel_assets.study.annotators import AnnotatorSettings

        return annotator_of(AnnotatorSettings.model_validate(self.settings), Store(Path(self.store)))


class BaseModel(dg.ConfigurableResource):
    """The study's base model; loading it is left to the first asset of a process that needs it."""

    path: str
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    threads: int | None = None
    trust_remote_code: bool = False

    @classmethod
    def of(cls, study: Study) -> "BaseModel":
        settings = study.model
        return cls(
            path=model_path(study),
            revision=settings.revision,
            dtype=settings.dtype,
            device=settings.device,
            device_map=settings.device_map,
            threads=settings.threads,
            trust_remote_code=settings.trust_remote_code,
        )

    def reading(self) -> dict[str, str]:
        """Metadata of a cell: what is not as usual about reading this model, if anything is."""
        loaded = _LOADED.get(self.model_dump_json())
        if loaded is None:
            return {}
        from edsel_assets.llm.reading.comparison import said_of

        said = said_of(loaded[0])
        return {} if said is None else {"reading": said}

    def open(self) -> tuple[Any, Any]:
        """(model, tokenizer). The same objects for every asset of a process: leave them as they are."""
        import torch
        from transformers.utils import logging

        from edsel_assets.llm import load_model
        from edsel_assets.llm.models.dtypes import dtype_here

        logging.disable_progress_bar()  # it would cut through ours
        # Raised inside transformers whenever peft wraps a model; nothing of ours can answer it.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        # The new names are not in every version of transformers that we run with.
        renamed = "`gradient_checkpointing_(enable|disable)` is deprecated"
        warnings.filterwarnings("ignore", renamed, FutureWarning)
        key = self.model_dump_json()
        if key not in _LOADED:
            if self.threads is not None:
                torch.set_num_threads(self.threads)
            _LOADED.clear()  # one base model at a time fits a device
            _LOADED[key] = load_model(
                self.path,
                revision=self.revision,
                # As its ledgers say, which are written without asking PyTorch.
                dtype=dtype_here(self.dtype, self.device, self.path, self.revision),
                device=self.device,
                device_map=self.device_map,
                trust_remote_code=self.trust_remote_code,
            )
        return _LOADED[key]
