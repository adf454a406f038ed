"""Prompts held out of the pool: answered, never selectable, the same for all trials, to score trials on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.selection.clustering.sampling import cluster_budgets
from edsel_assets.selection.core.draws import keyed_uniforms

HELD_OUT = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("task", pa.large_string()),
        ("prompt", pa.large_string()),
        ("response", pa.large_string()),
    ]
)


def held_out_count(wanted: float, answered: int) -> int:
    """How many of ``answered`` prompts are held out: ``wanted``, or that share of them, at least one."""
    return max(1, round(wanted * answered)) if 0 < wanted < 1 else int(wanted)


def held_out_rows(pool: pa.Table, wanted: float, seed: int) -> np.ndarray:
    """(N,) bool: the prompts to hold out, spread over the tasks in proportion to their answered prompts.

    Within a task those whose hash of (seed, prompt_id) is lowest.

    Args:
        wanted: how many, as a whole number, or the share of the answered prompts in (0, 1).

    Raises:
        ValueError: where so many are asked for that no answered prompt would be left.
    """
    marked = np.zeros(pool.num_rows, dtype=bool)
    answered = np.flatnonzero(pool["response"].is_valid().to_numpy())
    if not wanted or not len(answered):
        return marked
    count = held_out_count(wanted, len(answered))
    if count >= len(answered):
        raise ValueError(
            f"evaluation.held_out asks for {count} of {len(answered)} answered prompts, which leaves none to "
            "train on. Lower it."
        )
    tasks = pool["task"].fill_null("").combine_chunks().take(pa.array(answered))
    labels = np.unique(tasks.to_numpy(zero_copy_only=False).astype(str), return_inverse=True)[1]
    draws = keyed_uniforms(seed, pool["prompt_id"].to_numpy().astype(str)[answered])
    shares = cluster_budgets(np.bincount(labels), count)
    order = np.lexsort((draws, labels))
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels))[:-1]])
    place = np.arange(len(order)) - starts[labels[order]]
    marked[answered[order[place < shares[labels[order]]]]] = True
    return marked


def held_out_table(pool: pa.Table, marked: np.ndarray, bought: pa.Table | None = None) -> pa.Table:
    """The held-out prompts with their responses, and those bought to validate, ascending by id."""
    table = pool.filter(pa.array(marked)).select(HELD_OUT.names).cast(HELD_OUT)
    if bought is not None and bought.num_rows:
        table = pa.concat_tables([table, bought.select(HELD_OUT.names).cast(HELD_OUT)])
    return table.sort_by("prompt_id")


def losses(
    model: Any, tokenizer: Any, held_out: pa.Table, template: str, batch_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) negative log-likelihood of each response given its prompt, in nats, and (n,) its tokens."""
    from edsel_assets.llm import format_prompt, log_likelihoods

    prompts = [format_prompt(template, prompt) for prompt in held_out["prompt"].to_pylist()]
    found = log_likelihoods(
        model, tokenizer, prompts, held_out["response"].to_pylist(), batch_tokens=batch_tokens
    )
    return -np.asarray(found.total, dtype=np.float64), np.asarray(found.tokens, dtype=np.int64)


def loss_scores(nll: np.ndarray, tokens: np.ndarray) -> list[dict[str, Any]]:
    """Scores, higher is better: minus the mean loss per token over all tokens, and over prompts.

    The standard error of the first is that of a ratio of means over prompts (linearised).
    """
    count = len(nll)
    mean = nll.sum() / tokens.sum()
    by_prompt = nll / tokens
    spread = (nll - mean * tokens) / tokens.mean()
    root = np.sqrt(count)
    errors = (spread.std(ddof=1) / root, by_prompt.std(ddof=1) / root) if count > 1 else (np.nan, np.nan)
    values = (-mean, -by_prompt.mean())
    return [
        {"task": TASK, "metric": name, "value": float(v), "stderr": float(e), "n": count}
        for name, v, e in zip(METRICS, values, errors, strict=True)
    ]


TASK = "held_out"
METRICS = ("token_mean", "prompt_mean")
ANSWER_METRICS = ("exact_match", "rouge_l")  # where a study asks for answers to the held-out prompts


def known_ids(*tables: pa.Table) -> pa.Table:
    """One column ``prompt_id`` of every prompt that is asked or answered."""
    columns = [pc.cast(table["prompt_id"], pa.string()) for table in tables]
    return pa.table(
        {"prompt_id": pa.chunked_array([c for column in columns for c in column.chunks], pa.string())}
    )
