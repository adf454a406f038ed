"""Reward models: any sequence-classification model, as a score of responses to prompts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..models.loading import chosen_device, open_model
from ..models.templates import check_template, format_prompt
from ..reading.batching import TokenBudget, in_batches
from .texts import fitted, longest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_reward_model(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A sequence-classification model in evaluation mode, and its tokenizer.

    Args are those of :func:`~edsel_assets.llm.load_model`. Weights are read from safetensors files only.

    Raises ``ModelError``, in one line, for anything missing, such as the classification head of a model that
    has none: its scores would be random.
    """
    from transformers import AutoModelForSequenceClassification

    name = os.fspath(name_or_path)
    kind, place = AutoModelForSequenceClassification, chosen_device(device)
    model, tokenizer = open_model(kind, name, revision, dtype, place, trust_remote_code)
    model.config.pad_token_id = tokenizer.pad_token_id  # by it the model finds each text's last token
    return model.to(place).eval(), tokenizer


def reward_scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    responses: Sequence[str] | None,
    *,
    ended: Sequence[bool] | None = None,
    label: str | None = None,
    template: str | None = None,
    batch_tokens: int = 8192,
    max_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """(N,) float64: the model's logit of each response given its prompt, or of each prompt alone; higher is
    better.

    Args:
        model: with one label, or with the one named ``label`` among several.
        prompts, responses: N texts each, without a template; without responses the model reads the prompt
            alone, as the only message.
        ended: N booleans, whether each response ended by itself; all did without it. One that was cut off
            keeps its message open: the chat template's end of it is left out. A template of one's own adds
            no end, and the separators of a pair stay.
        template: put around the prompt, which it holds as ``{prompt}``, the response behind. Without it, the
            tokenizer's own chat template with both as messages; where it has none, the two as a pair.
        max_tokens: of a text, lowered to the model's positions; what is longer loses the response's end,
            then the prompt's.
        batch_tokens: tokens in a batch, padding included; halved whenever memory runs out.
        progress: called with (done, N).

    Raises ``ValueError`` for lists of unlike length, an unknown label, several labels and none named, or a
    model and tokenizer with unlike padding tokens.

    Time: one reading of N sequences, sorted by length.
    """
    for name, given in {"response": responses, "ended": ended}.items():
        if given is not None and len(prompts) != len(given):
            raise ValueError(
                f"every prompt needs one {name}; got {len(prompts)} prompts, {len(given)} {name} values."
            )
    column = _column(model, label)
    padding = model.config.pad_token_id, tokenizer.pad_token_id
    if None in padding or padding[0] != padding[1]:
        raise ValueError(
            f"the reward model's configuration has the pad_token_id {padding[0]}, its tokenizer "
            f"{padding[1]}; both must have the same. Load them by load_reward_model."
        )
    inputs = _Inputs(tokenizer, template, alone=responses is None)
    whole = list(zip(prompts, responses or [""] * len(prompts), strict=True))
    pairs = fitted(whole, inputs.lengths, longest(model, max_tokens))
    closed = [True] * len(pairs) if ended is None else ended
    rows_of = [inputs.encoded(*pair, ended=bool(end)) for pair, end in zip(pairs, closed, strict=True)]

    def process(rows: np.ndarray, _: int) -> np.ndarray:
        return _logits(model, tokenizer, [rows_of[row] for row in rows])[:, column]

    scores = np.zeros(len(pairs))
    done = 0
    budget = TokenBudget(batch_tokens)
    lengths = np.array([len(row["input_ids"]) for row in rows_of], dtype=np.int64)
    for rows, values in in_batches(lengths, budget, 1, 1, process):
        scores[rows] = values
        done += len(rows)
        if progress is not None:
            progress(done, len(pairs))
    return scores


def _column(model: Any, label: str | None) -> int:
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    if label is None and len(names) == 1:
        return 0
    if label not in names:
        got = "none is named" if label is None else f"got {label!r}"
        raise ValueError(f"name the label whose logit is the score, one of {names}; {got}.")
    return names.index(label)


class _Inputs:
    """What the model reads of a pair."""

    def __init__(self, tokenizer: Any, template: str | None, alone: bool) -> None:
        if template is not None:
            check_template(template)
        self._tokenizer, self._template, self._alone = tokenizer, template, alone

    def lengths(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        return [len(self.encoded(*pair)["input_ids"]) for pair in pairs]

    def encoded(self, prompt: str, response: str, *, ended: bool = True) -> dict[str, list[int]]:
        if self._template is not None:
            text = format_prompt(self._template, prompt) + response
            return dict(self._tokenizer(text, verbose=False))
        if self._tokenizer.chat_template:
            text = self._chat(prompt, response, ended)
            return dict(self._tokenizer(text, add_special_tokens=False, verbose=False))
        return dict(self._tokenizer(*([prompt] if self._alone else [prompt, response]), verbose=False))

    def _chat(self, prompt: str, response: str, ended: bool) -> str:
        messages = [{"role": "user", "content": prompt}]
        if not self._alone:
            messages.append({"role": "assistant", "content": response})
        left_open = not ended and bool(response.strip())  # nothing was said: there is no end to leave out
        return self._tokenizer.apply_chat_template(messages, tokenize=False, continue_final_message=left_open)


@torch.inference_mode()
def _logits(model: Any, tokenizer: Any, rows: list[dict[str, list[int]]]) -> np.ndarray:
    """(B, labels) float64."""
    batch = tokenizer.pad(rows, padding=True, padding_side="right", return_tensors="pt")
    return model(**batch.to(model.device)).logits.double().cpu().numpy()
