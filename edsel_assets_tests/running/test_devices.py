"""Which device each part uses, and one GPU for each worker."""

import os
from pathlib import Path
from typing import Any

import pytest

from edsel_assets import machine
from edsel_assets.planning.preflight import training_mistakes
from edsel_assets.running import devices, workers
from edsel_assets.running.devices import device_line, least_used, spread_over
from edsel_assets.running.workers import Worker, WorkerPool
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets how many GPUs there are, and which PyTorch is built for."""

    def be(count: int, build: str = "2.9.0") -> None:
        for number in range(count):
            (tmp_path / f"nvidia{number}").touch()
        (tmp_path / "nvidiactl").touch()
        monkeypatch.setattr(machine, "_DEVICES", tmp_path)
        monkeypatch.setattr(machine, "_torch_version", lambda: build)
        facts = [["NVIDIA H200", "142336"]] * count
        monkeypatch.setattr(devices, "gpu_facts", lambda *fields: facts)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return be


def on(**model: Any) -> Study:
    return tiny_study(model={"path": "builtin:demo", **model})


def test_a_run_says_what_runs_where(gpus) -> None:
    gpus(0)
    assert device_line(on()).startswith("On the CPU, ")
    gpus(1, "2.9.0+cpu")
    assert device_line(on()).endswith("There is a GPU that this PyTorch cannot use: see docs/gpu.md.")
    assert "PyTorch" not in device_line(on(device="cpu"))
    gpus(1)
    assert device_line(on()).startswith("On cuda (NVIDIA H200, 139 GiB free): models, k-means, selection")
    assert device_line(on(device="cuda:1")).startswith("On cuda:1 (NVIDIA H200")
    assert device_line(on(device="cpu")).startswith("On the CPU")


@pytest.mark.parametrize(
    ("named", "seen"),
    [(None, ["0", "1", "2"]), ("2,0", ["2", "0"]), ("", []), ("-1", []), ("GPU-8f", ["GPU-8f"])],
)
def test_the_gpus_of_a_process(gpus, monkeypatch, named, seen) -> None:
    gpus(3)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert machine.visible_gpus() == seen
    assert machine.has_gpu() == bool(seen)


def test_as_many_models_at_a_time_as_gpus(gpus) -> None:
    gpus(2)
    assert machine.models_at_once() == 2
    gpus(2, "2.9.0+cpu")
    assert machine.models_at_once() == os.cpu_count()


def test_workers_are_spread_where_each_holds_a_whole_model(gpus) -> None:
    gpus(2)
    assert spread_over({}) == spread_over({"device": "cuda"}) == ["0", "1"]
    assert spread_over({"device": "cuda:1"}) == spread_over({"device": "cpu"}) == []
    assert spread_over({"device_map": "balanced"}) == []
    gpus(2, "2.9.0+cpu")
    assert spread_over({}) == []


def test_a_new_worker_gets_the_gpu_of_fewest(gpus, monkeypatch, tmp_path) -> None:
    assert least_used(["0", "1"], ["0", "1", "0"]) == "1"
    assert least_used([], [None]) is None
    gpus(2)
    started = []

    class Silent(Worker):
        def __init__(self, greeting: Any, gpu: str | None) -> None:
            self.gpu = gpu
            started.append(gpu)

        def alive(self) -> bool:
            return True

    monkeypatch.setattr(workers, "Worker", Silent)
    pool = WorkerPool(workers.greeting(on(), tmp_path), 3)
    first = pool._take()
    pool._take()
    pool._take()
    pool._busy.discard(first)
    pool._idle.append(first)
    assert pool._take() is first, "who is idle is asked again, on its own GPU"
    assert started == ["0", "1", "0"]


def test_a_worker_sees_its_gpu_alone(monkeypatch) -> None:
    given: dict[str, Any] = {}

    class Process:
        stdin = open("/dev/null", "w")  # noqa: SIM115

        def __init__(self, command: Any, **options: Any) -> None:
            given.update(options["env"])

    monkeypatch.setattr(workers.subprocess, "Popen", Process)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    Worker({})
    assert given["CUDA_VISIBLE_DEVICES"] == "0,1"
    Worker({}, "1")
    assert given["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_spread_model_is_trained_by_adapters_in_one_process() -> None:
    spread = on(device_map="balanced")
    assert not list(training_mistakes(spread))
    for change in ({"method": "full"}, {"launcher": "accelerate", "processes": 2}):
        found = spread.model_copy(update={"finetuning": spread.finetuning.model_copy(update=change)})
        assert "model.device_map: a model spread" in next(iter(training_mistakes(found)))
