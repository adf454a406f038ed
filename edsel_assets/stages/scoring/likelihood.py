"""Quality and complexity of prompts by the base model, and ranks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def likelihood_quality(token_probabilities: pa.Table) -> pa.Table:
    """Quality from how fluent, complexity from how informative the base model finds each prompt.

    quality is the rank of the mean log-likelihood per token of the prompt: garbled text is
    unlikely under any language model. complexity is the rank of the total information of the
    prompt, -sum log p: long, specific prompts carry more. Ranks are mid-ranks over the pool divided
    by N, in (0, 1), so that thresholds mean the same under every model. Responses are not read:
    before annotation there are none.

    Args:
        token_probabilities: with ``prompt_id, prompt_logprob`` (nats) and ``prompt_tokens``.

    Returns:
        ``prompt_id, quality, complexity, log_likelihood`` (nats per token).
    """
    total = token_probabilities["prompt_logprob"].to_numpy().astype(np.float64)
    tokens = token_probabilities["prompt_tokens"].to_numpy()
    # The first token has nothing before it, so it has no likelihood of its own.
    mean = total / np.maximum(tokens - 1, 1)
    return pa.table(
        {
            "prompt_id": token_probabilities["prompt_id"],
            "quality": mid_ranks(mean),
            "complexity": mid_ranks(-total),
            "log_likelihood": mean,
        }
    )


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """(N,) (mean rank of equals - 1/2) / N, in (0, 1)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle = last - counts / 2
    return (middle / max(1, len(values)))[inverse]
