"""Selection and k-means on pools of the papers' sizes, beside plain PyTorch and faiss."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from benchmarks.gpu.job import Job, Result
from benchmarks.gpu.what_is_here import seconds


def pool(job: Job, rows: int, dim: int) -> np.ndarray:
    """(rows, dim) float32 unit rows around 1,000 centres of many widths."""
    import torch

    draws = torch.Generator(device=job.device).manual_seed(7)
    options: dict[str, Any] = {"generator": draws, "device": job.device}
    centres = torch.nn.functional.normalize(torch.randn(1000, dim, **options), dim=1)
    widths = torch.rand(1000, **options) * 0.6
    of = torch.randint(1000, (rows,), **options)
    points = centres[of] + widths[of, None] * torch.randn(rows, dim, **options) / dim**0.5
    return torch.nn.functional.normalize(points, dim=1).cpu().numpy()


def _sizes(job: Job) -> tuple[list[tuple[int, int]], int]:
    return ([(400, 16)], 20) if job.small else ([(54_032, 4096), (99_000, 4096)], 2000)


def selection(job: Job) -> Result:
    """Seconds of facility location, k-center and Deita, beside one product of all pairs and a plain loop."""
    from edsel_assets.selection import deita, facility_location, k_center

    found: Result = {}
    shapes, budget = _sizes(job)
    for rows, dim in shapes:
        points, size = pool(job, rows, dim), f"{rows:,} x {dim:,}"
        scores = np.random.default_rng(0).random(rows)
        for engine in ("dense", "blocked"):
            chosen: list[Any] = []
            took = seconds(
                job,
                lambda e=engine, c=chosen, p=points: c.append(
                    facility_location(p, budget, engine=e, device=job.device)
                ),
            )
            ran, bound = chosen[0].details["engine"], chosen[0].upper_bound
            found[f"facility location, {engine}, {size}, {budget} picks, s"] = round(took, 2)
            found[f"facility location, {engine}, {size}"] = (
                f"engine {ran}, objective {chosen[0].objective:.2f}, at most {bound:.2f}"
            )
        found[f"one product of all pairs, {size}, s"] = round(_all_pairs(job, points), 2)
        took = seconds(job, lambda p=points: k_center(p, budget, device=job.device))
        found[f"k-center, {size}, {budget} picks, s"] = round(took, 2)
        found[f"k-center by a plain loop, {size}, s"] = round(_plain_k_center(job, points, budget), 2)
        took = seconds(job, lambda p=points, s=scores: deita(p, s, s, budget, device=job.device))
        found[f"Deita, {size}, {budget} picks, s"] = round(took, 2)
    return found


def _all_pairs(job: Job, points: np.ndarray) -> float:
    """The floor of what reads all similarities."""
    import torch

    matrix = torch.from_numpy(points).to(job.device)
    return seconds(job, lambda: [(part @ matrix.T).amax() for part in matrix.split(4096)])


def _plain_k_center(job: Job, points: np.ndarray, budget: int) -> float:
    """As one would write it: the distances to each new centre, float32."""
    import torch

    matrix = torch.from_numpy(points).to(job.device)

    def run() -> None:
        nearest = torch.full((len(matrix),), torch.inf, device=matrix.device)
        pick = 0
        for _ in range(budget):
            nearest = torch.minimum(nearest, (matrix - matrix[pick]).square_().sum(1))
            pick = int(nearest.argmax())

    return seconds(job, run)


def k_means(job: Job) -> Result:
    """Seconds and inertia of k-means, beside as many plain iterations in PyTorch, and faiss where it is."""
    from edsel_assets.selection import kmeans, silhouette

    found: Result = {}
    for rows, dim in _sizes(job)[0]:
        points, size, clusters = pool(job, rows, dim), f"{rows:,} x {dim:,}", 10 if job.small else 512
        made: list[Any] = []
        took = seconds(job, lambda m=made, p=points, c=clusters: m.append(kmeans(p, c, device=job.device)))
        ours = made[0]
        iterations = int(ours.details["iterations"])
        found[f"k-means, {size}, {clusters} clusters"] = (
            f"{took:.2f} s, {iterations} iterations, inertia {ours.inertia:.2f}"
        )
        took, inertia = _plain_k_means(job, points, clusters, iterations)
        found[f"plain iterations, {size}"] = f"{took:.2f} s, {iterations} iterations, inertia {inertia:.2f}"
        if importlib.util.find_spec("faiss"):
            found[f"faiss, {size}"] = _faiss(points, clusters, iterations)
        sample = min(rows, 100 if job.small else 10_000)
        took = seconds(
            job, lambda p=points, o=ours, n=sample: silhouette(p, o.labels, sample=n, device=job.device)
        )
        found[f"silhouette of {sample:,} of {size}, s"] = round(took, 2)
    return found


def _plain_k_means(job: Job, points: np.ndarray, clusters: int, iterations: int) -> tuple[float, float]:
    """Lloyd's iterations from random rows."""
    import torch

    matrix = torch.from_numpy(points).to(job.device)
    state: dict[str, Any] = {"centroids": matrix[torch.arange(clusters) * (len(matrix) // clusters)]}

    def run() -> None:
        for _ in range(iterations):
            centroids, labels, total = state["centroids"], [], 0.0
            for part in matrix.split(16_384):
                squares = torch.cdist(part, centroids, compute_mode="use_mm_for_euclid_dist").square_()
                least = squares.min(1)
                labels.append(least.indices)
                total += float(least.values.sum(dtype=torch.float64))
            of = torch.cat(labels)
            sums = torch.zeros_like(centroids).index_add_(0, of, matrix)
            sizes = torch.bincount(of, minlength=clusters)
            state["centroids"] = torch.where(
                sizes[:, None] > 0, sums / sizes[:, None].clamp(min=1), centroids
            )
            state["inertia"] = total

    return seconds(job, run), state["inertia"]


def _faiss(points: np.ndarray, clusters: int, iterations: int) -> str:
    from time import perf_counter

    import faiss

    gpu = hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0
    search = faiss.Kmeans(points.shape[1], clusters, niter=iterations, max_points_per_centroid=10**9, gpu=gpu)
    began = perf_counter()
    search.train(points)
    place = "GPU" if gpu else "CPU"
    took = perf_counter() - began
    return f"{took:.2f} s on its {place}, {iterations} iterations, inertia {search.obj[-1]:.2f}"
