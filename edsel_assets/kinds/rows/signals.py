"""Group ``signals``: what the model and the geometry of the pool say of every prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

from edsel_assets.kinds.checks import FINITE
from edsel_assets.kinds.deciding import PASS, PRODUCTS, TEMPLATED, flat, model_settings, of_each
from edsel_assets.kinds.dimensions import (
    CLUSTERING,
    MEASURE,
    OTHER_EMBEDDINGS,
    SCORER,
    reads_probabilities,
    scorers,
)
from edsel_assets.kinds.kept import EMBEDDER, FORWARD_PASS, SCORES
from edsel_assets.kinds.kind import At, Kind, Parent, device, only_read
from edsel_assets.kinds.sources import (
    MODEL_FILES,
    POOL_FILES,
    QUALITY_MODELS,
    SCORE_FILE,
    is_asked,
    is_local,
    other_embedders,
)
from edsel_assets.kinds.work import Lengths, Work, embedding_work, pass_work
from edsel_assets.study import EmbeddingSettings, Study

_SWITCHES = {
    "mean_entropy": ("uncertainty.entropy_sign",),
    "least_confidence": ("uncertainty.length_normalised",),
}


# -- embeddings


def embedding_settings(study: Study, partition: str | None = None) -> dict[str, Any]:
    """What decides the study's own embeddings beside the model."""
    found = flat(study, "embeddings.source", "embeddings.input", "embeddings.transform")
    if study.embeddings.transform == "whiten":
        found |= flat(study, "embeddings.dimensions")
    if study.embeddings.source == "file":
        return found | flat(study, "embeddings.column", "embeddings.align")
    if study.embeddings.source == "model":
        return found | flat(study, *PASS, "forward.pooling")
    if study.embeddings.input == "prompt_response":
        found |= flat(study, "model.template")
    return found | flat(study, "embeddings.name", "embeddings.revision", "embeddings.base_url")


def _other_settings(study: Study, partition: str | None) -> dict[str, Any]:
    def settings(of: Study, name: str) -> dict[str, Any]:
        return embedding_settings(of.with_embeddings(name))

    return of_each(study.other_embeddings, settings, study, partition)


def embedding_libraries(study: Study, partition: str | None = None) -> tuple[str, ...]:
    """Of the study's own embeddings."""
    of_source = {"model": FORWARD_PASS.libraries, "sentence_transformers": EMBEDDER.libraries}
    return of_source.get(study.embeddings.source, ())


def _other_libraries(study: Study, partition: str | None) -> tuple[str, ...]:
    return embedding_libraries(study if partition is None else study.with_embeddings(partition))


def _files_of(embedders: Mapping[str, EmbeddingSettings]) -> list[str]:
    """The base model's files, those of a model of sentence-transformers, or a file; a server has none."""
    found = []
    for place, settings in embedders.items():
        if settings.source == "model":
            found.append(MODEL_FILES)
        elif settings.source == "sentence_transformers":
            found.append(place)
        elif settings.source == "file":
            found += [place, POOL_FILES]  # a vector may belong to a row of the pool's files
    return list(dict.fromkeys(found))


def embedding_files(study: Study, partition: str | None) -> list[str]:
    """The files of what makes the study's own embeddings."""
    return _files_of({"embeddings": study.embeddings})


def _other_files(study: Study, partition: str | None) -> list[str]:
    return _files_of(other_embedders(study, partition))


def _embedder_is_asked(study: Study, at: At) -> bool:
    return is_asked(study, f"other_embeddings.{at.keys['name']}" if at.keys else "embeddings")


def _scorer_is_asked(study: Study, at: At) -> bool:
    return any(is_asked(study, place) for place in QUALITY_MODELS.get(at.keys["scorer"], ()))


def _embedding_work(study: Study, lengths: Lengths, at: At) -> Work | None:
    return embedding_work(study, study.embeddings, lengths, reads_probabilities(study))


def _other_work(study: Study, lengths: Lengths, at: At) -> Work | None:
    other = study.other_embeddings[at.keys["name"]]
    return embedding_work(study, other, lengths, reads_probabilities(study))


# -- clusters, uncertainty


def _own(study: Study, at: At) -> bool:
    """Whether a clustering is of the study's own embeddings."""
    return "." not in at.keys["cluster_count"]


def _named(study: Study, at: At) -> Mapping[str, Sequence[str]]:
    name, dot, _ = at.keys["cluster_count"].rpartition(".")
    return {"name": [name] if dot else []}


def _measure_settings(study: Study, measure: str | None) -> dict[str, Any]:
    if measure is None:
        return flat(study, *(name for names in _SWITCHES.values() for name in names))
    return flat(study, *_SWITCHES.get(measure, ()))


# -- quality


def _reads_pass(study: Study, at: At) -> bool:
    return study.quality.reads_forward_pass(at.keys["scorer"])


def _reads_pool(study: Study, at: At) -> bool:
    return not _reads_pass(study, at)


def _used(study: Study) -> list[str]:
    """All scorers that the study's strategies use."""
    return list(dict.fromkeys([study.quality.scorer, *map(study.quality_of, study.selection.names)]))


def _quality_settings(study: Study, scorer: str | None) -> dict[str, Any]:
    return of_each(_used(study), _scorer_settings, study, scorer)


def _scorer_settings(study: Study, scorer: str) -> dict[str, Any]:
    """The settings that decide the qualities of one scorer."""
    quality = study.quality
    if scorer == "likelihood":
        return {}
    if scorer == "column":
        named = ("quality.column", "quality.complexity_column") if quality.file else ()
        return {"quality.file: given": quality.file is not None} | flat(study, *named)
    found = flat(study, "quality.input")
    if scorer == "perplexity" and quality.input == "prompt_response":
        found |= flat(study, *TEMPLATED)
    for place in QUALITY_MODELS.get(scorer, ()):
        found |= model_settings(study, place)
    return found


def _loads_model(study: Study, scorer: str) -> bool:
    if scorer == "perplexity":
        return study.quality.input == "prompt_response"
    return any(is_local(study, place) for place in QUALITY_MODELS.get(scorer, ()))


def _quality_libraries(study: Study, scorer: str | None) -> tuple[str, ...]:
    used = _used(study) if scorer is None else [scorer]
    return SCORES.libraries if any(_loads_model(study, each) for each in used) else ()


def _quality_files(study: Study, scorer: str | None) -> list[str]:
    used = _used(study) if scorer is None else [scorer]
    return list(dict.fromkeys(source for each in used for source in _scorer_files(study, each)))


def _scorer_files(study: Study, scorer: str) -> list[str]:
    if scorer == "perplexity":
        return [MODEL_FILES] if study.quality.input == "prompt_response" else []
    if scorer == "column":
        return [SCORE_FILE] if study.quality.file else []
    return [place for place in QUALITY_MODELS.get(scorer, ()) if is_local(study, place)]


def _scores_by_model(study: Study) -> bool:
    return any(scorer not in ("likelihood", "column") for scorer in scorers(study))


ROWS = (
    Kind(
        name="embeddings",
        group="signals",
        selecting=True,
        alone=only_read,
        paid=_embedder_is_asked,
        parents=(Parent("pool", lazy=True),),
        settings=(embedding_settings,),
        libraries=(embedding_libraries,),
        external=(embedding_files,),
        code="2",  # 2: a transform of the pool is applied
        keeps=(FORWARD_PASS, EMBEDDER),
        device=device,
        before=("embedder", "given embeddings"),
        work=_embedding_work,
        tags=frozenset({"pytorch"}),
        summary="The hidden state that stands for each prompt, float32.",
    ),
    Kind(
        name="other_embeddings",
        group="signals",
        selecting=True,
        alone=only_read,
        paid=_embedder_is_asked,
        dimensions=(OTHER_EMBEDDINGS,),
        parents=(Parent("pool", lazy=True),),
        settings=(_other_settings,),
        libraries=(_other_libraries,),
        external=(_other_files,),
        code="2",  # 2: a transform of the pool is applied
        keeps=(FORWARD_PASS, EMBEDDER),
        there=lambda study: bool(study.other_embeddings),
        device=device,
        before=("other embedders", "other given embeddings"),
        work=_other_work,
        tags=frozenset({"pytorch"}),
    ),
    Kind(
        name="token_probabilities",
        group="signals",
        selecting=True,
        alone=only_read,
        parents=(Parent("pool", lazy=True),),
        settings=(*PASS, "forward.max_new_tokens"),
        libraries=FORWARD_PASS.libraries,
        external=(MODEL_FILES,),
        keeps=(FORWARD_PASS,),
        device=device,
        work=lambda study, lengths, at: pass_work(study, lengths),
        tags=frozenset({"pytorch"}),
        summary="Per prompt and greedy decoding step: token, log-probability, the two largest "
        "probabilities, entropy; and the prompt's own likelihood.",
    ),
    Kind(
        name="uncertainty_scores",
        group="signals",
        alone=only_read,
        dimensions=(MEASURE,),
        parents=(Parent("token_probabilities"),),
        settings=(_measure_settings,),
        checks=(FINITE,),
    ),
    Kind(
        name="clusters",
        group="signals",
        alone=only_read,
        dimensions=(CLUSTERING,),
        parents=(
            Parent("pool", lazy=True),
            Parent("embeddings", when=_own, lazy=True),
            Parent("other_embeddings", keys=_named, lazy=True),
        ),
        settings=("clustering.seed", "clustering.restarts", "clustering.iterations"),
        libraries=PRODUCTS,
        code="2",  # 2: distances by PyTorch, whose rounding decides which clusters are swapped
        device=device,
        before=("cluster counts",),
    ),
    Kind(
        name="quality_scores",
        group="signals",
        selecting=True,
        alone=only_read,
        paid=_scorer_is_asked,
        dimensions=(SCORER,),
        parents=(
            Parent("pool", when=_reads_pool, lazy=True),
            Parent("token_probabilities", when=_reads_pass, lazy=True),
        ),
        settings=(_quality_settings,),
        libraries=(_quality_libraries,),
        external=(_quality_files,),
        keeps=(SCORES,),
        code="2",  # 2: models are read as they read themselves
        checks=(FINITE,),
        device=_scores_by_model,
        before=("scorers of quality",),
    ),
)
