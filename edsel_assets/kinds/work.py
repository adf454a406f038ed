"""What cells take, in tokens: the one formula of the plan, of the progress and of the rehearsal."""

from __future__ import annotations

from dataclasses import dataclass

from edsel_assets.study import EmbeddingSettings, Study

#: Where only characters are known.
CHARACTERS_PER_TOKEN = 4
_READ, _TRAINED, _TRAINED_BESIDE_FROZEN = 2, 6, 4
_SECOND_PASS = 4 / 3


@dataclass(frozen=True)
class Lengths:
    """How long texts are, in tokens on average.

    Attributes:
        prompts: of the pool; None where it is not known. ``prompt``, ``response``: mean tokens of one.
        assumed: whether there is no pool to tell.
        instructions: to a judge's trials; None where they are not known. ``instruction``: tokens of one.
    """

    prompts: int | None
    prompt: float
    response: float
    assumed: bool = False
    instructions: int | None = None
    instruction: float = 0.0


@dataclass(frozen=True)
class Work:
    """What a model does for a cell.

    Attributes:
        tokens: that it reads and writes, or is trained on, each epoch counted.
        trained: whether it is trained on them.
        kept: name of the pass whose rows are kept, so that another cell of the same pass does nothing.
    """

    tokens: float
    trained: bool = False
    kept: str | None = None


def operations_per_weight(study: Study, work: Work) -> float:
    """By token: 2 for a token read, 6 for one trained on (forward, and two products backward).

    Frozen weights need no gradient of their own, but their inputs do: 4. Checkpointing does the forward pass
    twice.
    """
    if not work.trained:
        return work.tokens * _READ
    tuning = study.finetuning
    each = _TRAINED if tuning.method == "full" else _TRAINED_BESIDE_FROZEN
    return work.tokens * each * (_SECOND_PASS if tuning.gradient_checkpointing else 1)


def pass_work(study: Study, lengths: Lengths, decoded: bool = True) -> Work | None:
    """The forward pass over the pool, with its decoding or for embeddings alone."""
    if lengths.prompts is None:
        return None
    prompt = min(lengths.prompt, study.forward.max_prompt_tokens)
    return Work(lengths.prompts * (prompt + decoded * study.forward.max_new_tokens), kept="forward pass")


def embedding_work(study: Study, settings: EmbeddingSettings, lengths: Lengths, decoded: bool) -> Work | None:
    """Of embeddings by the base model; None for those of other models."""
    if settings.source != "model":
        return None
    if settings.input == "prompt":
        return pass_work(study, lengths, decoded)
    if lengths.prompts is None:
        return None
    both = min(lengths.prompt + lengths.response, study.forward.max_prompt_tokens)
    return Work(lengths.prompts * both, kept="forward pass over responses too")


def training_work(study: Study, lengths: Lengths, prompts: float, epochs: int) -> Work | None:
    """Of so many prompts with their responses; None where budgets are money."""
    if lengths.prompts is None or study.selection.by_price:
        return None  # how many prompts the money buys is known once they are selected
    example = min(lengths.prompt + lengths.response, study.finetuning.max_length)
    return Work(prompts * epochs * example, trained=True)
