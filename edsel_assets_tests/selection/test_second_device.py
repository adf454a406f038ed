"""All of selection with its tensors on another device: nothing is mixed, nothing read from the wrong side."""

import warnings
from collections.abc import Callable
from dataclasses import astuple, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch

from edsel_assets.selection import (
    Ranking,
    auto_gamma,
    coverage,
    deita,
    demand_from_queries,
    elbow,
    facility_location,
    gain_curves,
    k_center,
    kmeans,
    nearest,
    qdit,
    silhouette,
    variance_reduction,
)
from edsel_assets.selection.facility import engines
from edsel_assets.selection.facility.dense import TorchRows
from edsel_assets.selection.geometry.chance import random_draws, standings
from edsel_assets.selection.geometry.figures import geometry
from edsel_assets_tests.second_device import FREE, second_device

SIZE = 80
RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(SIZE, 6)).astype(np.float32)
QUALITY, COMPLEXITY = RNG.random(SIZE), RNG.random(SIZE)
PRICES, DEMAND = RNG.random(SIZE) + 0.5, RNG.random(SIZE)
LABELS = RNG.integers(5, size=SIZE)
SETS = random_draws(np.arange(SIZE), 10, draws=3)
MONEY: dict[str, Any] = {"prices": PRICES, "engine": "dense"}
FACILITY: dict[str, dict[str, Any]] = {
    "rbf, dense": {"engine": "dense", "gamma": 0.5, "selected": [3, 7]},
    "rbf, blocked": {"engine": "blocked", "gamma": 0.5, "selected": [3, 7]},
    "cosine, dense": {"engine": "dense", "kernel": "cosine"},
    "cosine, blocked": {"engine": "blocked", "kernel": "cosine"},
    "apricot": {"engine": "apricot", "gamma": 0.5, "selected": [3, 7]},
    "utility, demand": {"utility": QUALITY, "demand": DEMAND, "engine": "dense"},
    "sharp": {"gamma": 0.01, "normalise": False, "engine": "dense"},
    "stochastic": {"stochastic": 0.1, "seed": 1, "engine": "dense"},
    "money": MONEY,
}
CALLS: dict[str, Callable[[str], Any]] = {
    "k-center": lambda place: k_center(POINTS, 20, device=place),
    "k-center, random": lambda place: k_center(
        POINTS, 20, seed_point="random", selected=[2], device=place, tie_break=LABELS * SIZE + np.arange(SIZE)
    ),
    "deita": lambda place: deita(POINTS, QUALITY, COMPLEXITY, 20, threshold=0.8, selected=[1], device=place),
    "qdit": lambda place: qdit(POINTS, QUALITY, 20, engine="dense", device=place),
    "qdit, money": lambda place: qdit(POINTS, QUALITY, 20, device=place, **MONEY),
    "nearest": lambda place: nearest(POINTS, POINTS[:4], 20, device=place),
    "variance, directed": lambda place: variance_reduction(POINTS, 20, queries=POINTS[:4], device=place),
    "variance": lambda place: variance_reduction(POINTS, 20, demand=DEMAND, selected=[2], device=place),
    "k-means": lambda place: kmeans(POINTS, 7, nredo=2, device=place),
    "k-means, one": lambda place: kmeans(POINTS, 1, device=place),
    "elbow": lambda place: elbow(POINTS, [2, 3, 4], device=place),
    "demand": lambda place: demand_from_queries(POINTS, POINTS[:6] + 0.1),
    "silhouette": lambda place: silhouette(POINTS, LABELS, sample=30, device=place),
    "coverage": lambda place: coverage(POINTS, [1, 2, 3], device=place),
    "width": lambda place: auto_gamma(POINTS, device=place),
    "gain curves": lambda place: gain_curves(POINTS, [0.1, 1.0], 10, engine="dense", device=place),
    "geometry": lambda place: geometry(POINTS, device=place),
    "against random": lambda place: standings(POINTS, SETS, known=[4], device=place),
    "a tensor of the device": lambda place: facility_location(
        torch.from_numpy(POINTS).to(place), 12, engine="blocked", device="auto" if place == "cuda" else place
    ),
} | {
    f"facility location, {name}": lambda place, given=given: facility_location(
        POINTS, 12.0 if "prices" in given else 12, device=place, **given
    )
    for name, given in FACILITY.items()
}


def plain(found: Any) -> Any:
    """Numbers and arrays alone, to compare; without the device's name."""
    if isinstance(found, Ranking):
        return [found.indices, found.gains, found.objective, found.upper_bound]
    if is_dataclass(found):
        return [value for value in astuple(found) if not isinstance(value, dict)]
    if isinstance(found, dict):
        return list(found.values())
    return list(found) if isinstance(found, (list, tuple)) else [found]


@pytest.mark.parametrize("name", CALLS)
def test_the_second_device_gives_what_the_cpu_gives(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = CALLS[name]("cpu")
        with second_device():
            there = CALLS[name]("cuda")
    for one, other in zip(plain(here), plain(there), strict=True):
        if one is not None:
            np.testing.assert_allclose(np.asarray(other), np.asarray(one), rtol=1e-5, atol=1e-6)


def test_the_second_device_refuses_what_cuda_refuses() -> None:
    with second_device():
        there = torch.from_numpy(POINTS).to("cuda")
        assert there.device == torch.device("cuda:0")
        for mixed in (
            lambda: there + torch.ones(6),
            lambda: there @ torch.ones(6, 2),
            lambda: torch.ones(SIZE)[torch.arange(2, device="cuda")],
            lambda: torch.cat([there, torch.ones(1, 6)]),
        ):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        for silent in (there.numpy, lambda: np.asarray(there)):
            with pytest.raises(RuntimeError, match=r"numpy"):
                silent()
        assert (there[torch.tensor([1])] * 2.0 + torch.tensor(1.0)).cpu().numpy().shape == (1, 6)


@pytest.mark.parametrize(
    "choose",
    [
        lambda: facility_location(POINTS, 4, device="cuda"),
        lambda: k_center(POINTS, 4, device="cuda"),
        lambda: deita(POINTS, QUALITY, COMPLEXITY, 4, device="cuda"),
        lambda: kmeans(POINTS, 4, device="cuda"),
    ],
)
def test_rounded_products_are_refused_by_all_that_decide_by_them(choose: Callable[[], Any]) -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with second_device(), pytest.raises(ValueError, match="TF32") as caught:
            choose()
    finally:
        torch.set_float32_matmul_precision("highest")
    assert "\n" not in str(caught.value)


def test_memory_is_what_is_free_on_the_device() -> None:
    with second_device(memory_reserved=lambda device: 5 << 30, memory_allocated=lambda device: 2 << 30):
        assert engines.memory_of(torch.device("cuda")) == int((FREE + (3 << 30)) * engines.MEMORY_SHARE)
    free = int((engines.needs(800, 6)["dense"] - 1) / engines.MEMORY_SHARE)
    with second_device(mem_get_info=lambda device: (free, 80 << 30)):
        chosen = facility_location(np.tile(POINTS, (10, 1)), 4, device="cuda")
    assert chosen.details["engine"] == "blocked"


@pytest.mark.parametrize("more", [{}, {"prices": PRICES}])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_without_memory_for_the_similarity_its_rows_are_computed(
    error: Exception, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = facility_location(POINTS, 12, engine="blocked", device="cpu", **more)
    made = TorchRows.__init__

    def full(self: TorchRows, kernel: Any, *, held: bool) -> None:
        if held:
            raise error
        made(self, kernel, held=held)

    monkeypatch.setattr(TorchRows, "__init__", full)
    with second_device():
        found = facility_location(POINTS, 12, engine="dense", device="cuda", **more)
    assert found.details["engine"] == "blocked"
    assert found.indices.tolist() == expected.indices.tolist()


def test_other_errors_of_an_engine_are_not_taken_for_a_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: TorchRows, kernel: Any, *, held: bool) -> None:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr(TorchRows, "__init__", broken)
    with pytest.raises(RuntimeError, match="assert"):
        facility_location(POINTS, 12, engine="dense", device="cpu")
