"""The pools on which kernel widths are compared: four by real embeddings, four made up.

Embeddings by a model are kept in a folder beside the repository, as they take minutes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.selection.case import t0_embeddings

ROOT = Path(os.environ.get("EDSEL_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
SMOLLM2 = Path(os.environ.get("EDSEL_SMOLLM2", ROOT / "models" / "smollm2"))
TINY = ROOT / "models" / "tinystories-260k"
T0_ROWS, SMOLLM2_ROWS, TINY_TOKENS, SMOLLM2_TOKENS = 2500, 800, 448, 128


class Missing(Exception):
    """Data or a model that a pool is made of is not there."""


def t0_by_minilm() -> np.ndarray:
    """Sentence embeddings, mean cosine of two rows 0.07."""
    _there(ROOT / "t0_minilm_embeddings.npy")
    return t0_embeddings(T0_ROWS)


def t0_by_smollm2() -> np.ndarray:
    """The last token's hidden state of a pretrained Llama: all rows lie in a narrow cone."""
    return _by_model("smollm2", SMOLLM2, lambda: _t0_prompts(SMOLLM2_ROWS), SMOLLM2_TOKENS)


def t0_by_tinystories() -> np.ndarray:
    """The same by a Llama of 260,000 weights, 64 dimensions."""
    return _by_model("tinystories", TINY, lambda: _t0_prompts(T0_ROWS), TINY_TOKENS)


def demo() -> np.ndarray:
    """The demo study's pool by its own model, as the study embeds it."""
    from edsel_assets.demo import DEMO, demo_pool, local_path

    def prompts() -> list[str]:
        return list(dict.fromkeys(row["prompt"] for row in demo_pool()))

    return _by_model("demo", local_path(DEMO, "model"), prompts, 96)


def gaussian(rows: int = 1500, dim: int = 48) -> np.ndarray:
    """No structure at all."""
    return np.random.default_rng(0).normal(size=(rows, dim)).astype(np.float32)


def zipf_clusters(rows: int = 2000, dim: int = 48, clusters: int = 40) -> np.ndarray:
    """Clusters whose n-th has a share proportional to 1 / n."""
    draws = np.random.default_rng(1)
    shares = 1 / np.arange(1, clusters + 1)
    labels = draws.choice(clusters, rows, p=shares / shares.sum())
    centres = draws.normal(size=(clusters, dim))
    return (centres[labels] + 0.3 * draws.normal(size=(rows, dim))).astype(np.float32)


def repeated(rows: int = 1500, dim: int = 48, times: int = 5) -> np.ndarray:
    """Every row several times: the nearest other row is at distance 0."""
    points = np.random.default_rng(2).normal(size=(rows // times, dim)).astype(np.float32)
    return np.repeat(points, times, axis=0)[np.random.default_rng(3).permutation(rows // times * times)]


def one_hot(rows: int = 1500, dim: int = 300) -> np.ndarray:
    """Rows that are equal or at right angles; the n-th direction has a share proportional to 1 / n."""
    shares = 1 / np.arange(1, dim + 1)
    labels = np.random.default_rng(4).choice(dim, rows, p=shares / shares.sum())
    return np.eye(dim, dtype=np.float32)[labels]


POOLS: dict[str, Callable[[], np.ndarray]] = {
    "T0 by MiniLM": t0_by_minilm,
    "T0 by SmolLM2": t0_by_smollm2,
    "T0 by tinystories-260k": t0_by_tinystories,
    "demo": demo,
    "Gaussian": gaussian,
    "40 clusters, Zipf": zipf_clusters,
    "every row five times": repeated,
    "one-hot": one_hot,
}


def _there(path: Path) -> None:
    if not path.exists():
        raise Missing(f"needs {path}; set EDSEL_DATA, or EDSEL_SMOLLM2 for that model")


def _t0_prompts(rows: int) -> list[str]:
    """The first ``rows`` different prompts of T0 in a seeded order."""
    import pandas as pd

    _there(ROOT / "t0_pool.parquet")
    prompts = pd.read_parquet(ROOT / "t0_pool.parquet", columns=["prompt"])["prompt"].drop_duplicates()
    return prompts.sample(rows, random_state=0).tolist()


def _by_model(name: str, model: Path, prompts: Callable[[], list[str]], tokens: int) -> np.ndarray:
    """(N, d) float32 hidden states of each prompt's last token, computed once."""
    _there(model)
    texts = prompts()
    key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
    folder = Path(os.environ.get("EDSEL_BENCHMARK_CACHE", tempfile.gettempdir()))
    path = folder / f"edsel_width_{name}_{tokens}_{key}.npy"
    if not path.exists():
        part = path.with_suffix(".part.npy")
        np.save(part, _embed(model, texts, tokens))
        part.rename(path)
    return np.load(path)


def _embed(model: Path, texts: list[str], tokens: int) -> np.ndarray:
    from edsel_assets.llm import DEFAULT_TEMPLATE, format_prompt, forward_pool, load_model

    network, tokenizer = load_model(str(model), dtype="float32", device="cpu")
    records = forward_pool(
        network,
        tokenizer,
        [format_prompt(DEFAULT_TEMPLATE, text) for text in texts],
        max_new_tokens=0,
        max_prompt_tokens=tokens,
        batch_tokens=4096,
        prompt_likelihood=False,
    )
    return np.stack([record.embedding for record in records]).astype(np.float32)
