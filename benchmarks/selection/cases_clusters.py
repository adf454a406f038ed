"""k-center against plain NumPy; k-means against scikit-learn and faiss."""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from benchmarks.selection.case import Case, Outcome, t0_embeddings

CLUSTERS = 512


def product(points: np.ndarray, others: int) -> Outcome:
    """The floor: every point against ``others`` of them, as float32 products in blocks."""
    import torch

    tensor = torch.from_numpy(points)
    right = tensor[:others].T.contiguous()
    out = torch.empty((1024, others))
    for start in range(0, len(points), 1024):
        part = tensor[start : start + 1024]
        torch.mm(part, right, out=out[: len(part)])
    return {}


def digest(picks: np.ndarray) -> str:
    """Equal for equal picks in equal order."""
    return hashlib.sha256(np.asarray(picks, dtype=np.int64).tobytes()).hexdigest()[:16]


def radius(points: np.ndarray, picks: np.ndarray) -> float:
    """Covering radius of a choice, the same judge for everyone."""
    nearest = np.full(len(points), -1.0)
    for start in range(0, len(points), 1024):
        nearest[start : start + 1024] = (points[start : start + 1024] @ points[picks].T).max(1)
    return float(np.sqrt(max(0.0, 2 - 2 * nearest.min())))


def our_k_center(points: np.ndarray, budget: int) -> Outcome:
    from edsel_assets.selection import k_center

    ranking = k_center(points, budget, normalise=False)  # they are unit rows, and stay these very numbers
    return {"objective": ranking.details["radius"], "picks": digest(ranking.indices)}


def numpy_k_center(points: np.ndarray, budget: int) -> Outcome:
    """One matrix-vector product and one minimum a step."""
    first = int(np.square(points - points.mean(0)).sum(1).argmin())
    picks = [first]
    nearest = 2 - 2 * (points @ points[first])
    nearest[first] = -1
    while len(picks) < budget:
        pick = int(nearest.argmax())
        picks.append(pick)
        np.minimum(nearest, 2 - 2 * (points @ points[pick]), out=nearest)
        nearest[pick] = -1
    return {"objective": float(np.sqrt(max(0.0, nearest.max()))), "picks": digest(np.array(picks))}


def float64_k_center(points: np.ndarray, budget: int) -> Outcome:
    """The plain loop in float64, where no two distances of a real pool tie by rounding: the reference."""
    exact = points.astype(np.float64)
    squares = np.einsum("ij,ij->i", exact, exact)
    picks = [int(np.square(exact - exact.mean(0)).sum(1).argmin())]
    nearest = np.full(len(points), np.inf)
    while True:
        pick = picks[-1]
        np.minimum(nearest, squares + squares[pick] - 2 * (exact @ exact[pick]), out=nearest)
        nearest[picks[-1]] = -1
        if len(picks) == budget:
            break
        picks.append(int(nearest.argmax()))
    return {"objective": float(np.sqrt(nearest.max())), "picks": digest(np.array(picks))}


def our_kmeans(points: np.ndarray) -> Outcome:
    from edsel_assets.selection import kmeans

    found = kmeans(points, CLUSTERS)
    return {"objective": found.inertia, "details": found.details}


def sklearn_kmeans(points: np.ndarray) -> Outcome:
    from sklearn.cluster import KMeans

    found = KMeans(CLUSTERS, n_init=1, random_state=42).fit(points)
    return {"objective": float(found.inertia_), "details": {"iterations": int(found.n_iter_)}}


def faiss_kmeans(points: np.ndarray) -> Outcome:
    import faiss

    found = faiss.Kmeans(points.shape[1], CLUSTERS, niter=25, seed=42, max_points_per_centroid=10**9)
    found.train(points)
    squares, _ = found.index.search(points, 1)
    return {"objective": float(squares.sum()), "details": {"iterations": 25}}


def warm_k_center() -> None:
    our_k_center(_small(), 8)


def warm_kmeans() -> None:
    from edsel_assets.selection import kmeans

    kmeans(_small(), 8)


def _small() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)


CASES = {
    "k-center": Case(
        title="k-center, T0 (54,032), k = 20,000 (objective: radius)",
        load=t0_embeddings,
        floor=functools.partial(product, others=20_000),
        contenders={
            "edsel": functools.partial(our_k_center, budget=20_000),
            "numpy loop": functools.partial(numpy_k_center, budget=20_000),
            "numpy loop, float64": functools.partial(float64_k_center, budget=20_000),
        },
        higher_is_better=False,
        warm={"edsel": warm_k_center},
    ),
    "k-means": Case(
        title="k-means, T0 (54,032), 512 clusters (objective: inertia; floor: one assignment)",
        load=t0_embeddings,
        floor=functools.partial(product, others=CLUSTERS),
        contenders={
            "edsel": our_kmeans,
            "scikit-learn, 1 start": sklearn_kmeans,
            "faiss, 25 iterations": faiss_kmeans,
        },
        higher_is_better=False,
        warm={"edsel": warm_kmeans},
    ),
}
