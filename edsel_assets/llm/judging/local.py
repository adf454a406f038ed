"""A judge model that is loaded here, and what it makes of the next token."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..models.split import SplitModel
from ..models.templates import DEFAULT_TEMPLATE, check_template, format_prompt
from ..models.tokens import cut_left, encode, max_positions
from ..reading.batching import TokenBudget, in_batches
from ..reading.comparison import way_of
from ..reading.decode import right_padded
from ..reading.generation import generate
from .judges import Tally, rating

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Progress = Callable[[int, int], None]


def next_token_logprobs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    groups: Sequence[Sequence[int]],
    *,
    batch_tokens: int = 8192,
    max_tokens: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """(N, G) float64: log P(the token after each text is one of the group's), in nats, in float32 products.

    Args:
        texts: N, as the model shall read them. What is longer than ``max_tokens``, or than the model's
            positions, loses tokens on the left.
        groups: G lists of token ids, none empty.

    Raises ``ValueError`` for a text without a token.
    """
    split, budget = SplitModel(model), TokenBudget(batch_tokens)
    limits = [limit for limit in (max_tokens, max_positions(model)) if limit is not None]
    encoded = encode(tokenizer, texts)
    empty = [number for number, ids in enumerate(encoded) if not len(ids)]
    if empty:
        raise ValueError(f"text {empty[0]} has no tokens. Use a template.")
    ids = [cut_left(row, min(limits), tokenizer.bos_token_id) if limits else row for row in encoded]

    def process(rows: np.ndarray, _: int) -> np.ndarray:
        return _read(split, [ids[row] for row in rows], groups)

    found = np.zeros((len(texts), len(groups)))
    done = 0
    lengths = np.array([len(row) for row in ids])
    for rows, values in in_batches(lengths, budget, 1, split.workers, process, way_of(split, ids).longest):
        found[rows] = values
        done += len(rows)
        if progress is not None:
            progress(done, len(texts))
    return found


@torch.inference_mode()
def _read(split: SplitModel, rows: list[np.ndarray], groups: Sequence[Sequence[int]]) -> np.ndarray:
    tokens = right_padded(rows, split.device)
    hidden = split.hidden(input_ids=tokens, use_cache=False)
    last = torch.tensor([len(row) - 1 for row in rows], device=split.device)
    log_p = torch.log_softmax(split.logits(hidden[torch.arange(len(rows), device=split.device), last]), -1)
    columns = [log_p[:, list(group)].logsumexp(-1) for group in groups]
    return torch.stack(columns, dim=1).double().cpu().numpy()


class LocalJudge:
    """A causal model from ``load_model`` as a judge.

    Its preference is the softmax over its own log-probabilities of the two labels; tokens that are a label
    but for spaces around it count for it, as they do at an endpoint.

    Args:
        template: what the model reads around a prompt, which it holds as ``{prompt}``; None for the
            tokenizer's own chat template.
        reply_tokens: the longest free reply. ``temperature``, ``seed``: of the sampling.
        cut: what is longer than the model's positions loses its beginning; otherwise it has no valid
            reply, since the judge would not have read all of it.

    Raises ``ValueError`` where the tokenizer has no chat template and none is given.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        template: str | None = DEFAULT_TEMPLATE,
        reply_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
        batch_tokens: int = 8192,
        cut: bool = False,
    ) -> None:
        if template is not None:
            check_template(template)
        elif not getattr(tokenizer, "chat_template", None):
            raise ValueError("the judge's tokenizer has no chat template. Give one that holds {prompt}.")
        self._model, self._tokenizer, self._template = model, tokenizer, template
        self._reply_tokens, self._temperature, self._seed = reply_tokens, temperature, seed
        self._batch_tokens, self._cut = batch_tokens, cut
        self._invalid = 0
        self._why = ""

    @property
    def tally(self) -> Tally:
        """As in ``Judge``: it costs nothing."""
        return Tally(invalid=self._invalid, why=self._why)

    def label_probabilities(
        self, prompts: Sequence[str], labels: tuple[str, str], progress: Progress | None = None
    ) -> np.ndarray:
        """As in ``Judge``: (N,) float64, P(first label | either label)."""
        groups = [label_tokens(self._tokenizer, label) for label in labels]
        found = np.full(len(prompts), math.nan)
        texts, rows = self._fitting(prompts, 0)
        logs = next_token_logprobs(
            self._model,
            self._tokenizer,
            texts,
            groups,
            batch_tokens=self._batch_tokens,
            progress=progress,
        )
        found[rows] = 1.0 / (1.0 + np.exp(np.clip(logs[:, 1] - logs[:, 0], -700, 700)))
        return found

    def rating_replies(self, prompts: Sequence[str], progress: Progress | None = None) -> list[str | None]:
        """As in ``Judge``."""
        texts, rows = self._fitting(prompts, self._reply_tokens)
        answers = generate(
            self._model,
            self._tokenizer,
            texts,
            max_new_tokens=self._reply_tokens,
            max_prompt_tokens=max_positions(self._model) or 1 << 30,
            batch_tokens=self._batch_tokens,
            temperature=self._temperature,
            seed=self._seed,
            progress=progress,
        )
        found: list[str | None] = [None] * len(prompts)
        for row, answer in zip(rows, answers, strict=True):
            found[row] = answer
            try:
                rating(answer)
            except ValueError as error:
                self._lost(1, f"{error}.")
        return found

    def _fitting(self, prompts: Sequence[str], more: int) -> tuple[list[str], np.ndarray]:
        """(formatted prompts that fit with ``more`` tokens beside them, their row numbers)."""
        texts = [self._formatted(prompt) for prompt in prompts]
        positions = max_positions(self._model)
        if self._cut or positions is None:
            return texts, np.arange(len(texts))
        lengths = np.array([len(ids) for ids in encode(self._tokenizer, texts)], dtype=np.int64)
        rows = np.flatnonzero(lengths + more <= positions)
        if len(rows) < len(texts):
            longest = int(lengths.max()) + more
            self._lost(len(texts) - len(rows), f"a question of {longest} tokens is longer than {positions}.")
        return [texts[row] for row in rows], rows

    def _lost(self, count: int, why: str) -> None:
        self._invalid += count
        self._why = self._why or why

    def _formatted(self, prompt: str) -> str:
        if self._template is not None:
            return format_prompt(self._template, prompt)
        tokenizer: Any = self._tokenizer
        message = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        start = tokenizer.bos_token
        # The tokenizer puts its start token in front again.
        return text.removeprefix(start) if start and len(encode(tokenizer, [""])[0]) else text


def label_tokens(tokenizer: Any, label: str) -> list[int]:
    """Ids of the tokens that are ``label`` but for spaces in front; ``ValueError`` where there is none."""
    forms = {label, f" {label}", f"Ġ{label}", f"▁{label}"}
    found = sorted(number for token, number in tokenizer.get_vocab().items() if token in forms)
    if not found:
        raise ValueError(f"the judge's tokenizer has no token {label!r}. Choose labels of one token each.")
    return found
