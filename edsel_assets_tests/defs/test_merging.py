"""A study beside other definitions, with parts of its own replaced, and started by Dagster's own commands."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from edsel_assets.defs.build import build_definitions
from edsel_assets.defs.jobs import run_config
from edsel_assets.planning.cells import Cell
from edsel_assets.running.asked import make_command, note_edsel
from edsel_assets.running.instance import dagster_home, open_instance
from edsel_assets.running.local import Runner
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import TINY, tiny_study
from edsel_assets_tests.defs.serving import answering, free_port

WARNING = "no asset of study tiny, .* Give the study a prefix"


def prefixed(name: str) -> Study:
    return Study.model_validate({**TINY, "name": name, "prefix": name})


@dg.asset(ins={"pool": dg.AssetIn(dg.AssetKey(["one", "pool"]))})
def prompts_counted(pool: Any) -> int:
    return pool.num_rows


@dg.asset
def foreign() -> int:
    return 7


def run(
    definitions: dg.Definitions, keys: Sequence[Sequence[str]], folder: Path
) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_implicit_global_asset_job_def()
    part = job.get_subset(asset_selection={dg.AssetKey(list(key)) for key in keys})
    with dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance:
        return part.execute_in_process(instance=instance)


def test_two_studies_and_an_asset_of_another_project_in_one(tmp_path: Path) -> None:
    parts = [build_definitions(prefixed(name), home=tmp_path) for name in ("one", "two")]
    merged = dg.Definitions.merge(*parts, dg.Definitions(assets=[prompts_counted]))
    dg.Definitions.validate_loadable(merged)
    result = run(merged, [("one", "pool"), ("two", "pool"), ("prompts_counted",)], tmp_path)
    assert result.success
    held_out = TINY["evaluation"]["held_out"]
    assert result.output_for_node("prompts_counted") == TINY["pool"]["limit"] - held_out
    stored = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("store/*/pool.parquet")}
    assert stored == {"store/one/pool.parquet", "store/two/pool.parquet"}
    names = {job.name for job in merged.get_repository_def().get_all_jobs()}
    assert {"one_select", "two_select", "one_order_prompts", "two_bring_up_to_date"} <= names


def test_without_a_prefix_an_asset_of_another_project_is_refused_by_name(tmp_path: Path) -> None:
    merged = dg.Definitions.merge(
        build_definitions(tiny_study(), home=tmp_path), dg.Definitions(assets=[foreign])
    )
    with pytest.raises(ValueError, match=f"foreign is {WARNING}"):
        run(merged, [("foreign",)], tmp_path)


class Recording:
    """A pool of one slot that notes what it was given."""

    slots = 1

    def __init__(self, runner: Runner) -> None:
        self.given: list[Cell] = []
        self._runner, self._batch = runner, ()

    def start(self, batch: Sequence[Cell]) -> None:
        self.given += batch
        self._batch = tuple(batch)

    def wait(self) -> tuple[Sequence[Cell], Sequence[Cell]]:
        return self._batch, self._runner.make(self._batch)


def test_a_deployment_gives_its_own_executor_resource_and_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    study, opened = tiny_study(), []
    with open_instance(Home.at(tmp_path), study.name) as instance:

        @contextmanager
        def launcher(asked: Study, home: Home) -> Iterator[Recording]:
            opened.append(Recording(Runner(asked, build_definitions(asked, home=home), instance, home)))
            yield opened[-1]

        model = object()
        definitions = build_definitions(
            study,
            home=tmp_path,
            executor=dg.multiprocess_executor,
            resources={"base_model": dg.ResourceDefinition.hardcoded_resource(model)},
            launcher=launcher,
        )
        assert definitions.executor is dg.multiprocess_executor
        assert definitions.resources["base_model"].resource_fn(None) is model
        asked = run_config(study, ["pool"])
        job = definitions.get_job_def("bring_up_to_date")
        assert job.execute_in_process(instance=instance, run_config=asked).success
    assert opened[0].given == [Cell("pool")]
    with pytest.raises(ValueError, match="No resource modle; those of a study are io_manager, base_model, "):
        build_definitions(study, home=tmp_path, resources={"modle": model})


def test_a_command_of_dagster_makes_an_asset_of_the_study(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    words = ["asset", "materialize", "--select", "pool", "-m", "edsel_assets.definitions"]
    environment = {**os.environ, "EDSEL_STUDY": str(study), "EDSEL_HOME": str(tmp_path / "home")}
    environment.pop("DAGSTER_HOME", None)
    ended = subprocess.run(
        [sys.executable, "-m", "dagster", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "home/store/tiny/pool.parquet").is_file()


LAUNCH = """
mutation($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, mode: "default"}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
SHOWN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"""


@pytest.mark.slow
def test_dagster_dev_makes_an_asset_of_the_study(tmp_path: Path) -> None:
    study, home, port = tmp_path / "study.yaml", Home.at(tmp_path / "home"), free_port()
    study.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    environment = {
        "EDSEL_STUDY": str(study),
        "EDSEL_HOME": str(home),
        "DAGSTER_HOME": str(dagster_home(home, "tiny")),
    }
    workspace = Path(__file__).resolve().parents[2] / "workspace.yaml"
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-p", str(port)]
    with answering(command, port, environment) as server:
        where = "edsel_assets.definitions"
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": where,
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": ["pool"]}],
        }
        launched = server.ask(LAUNCH, selector=selector)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        deadline = time.monotonic() + 300
        while True:
            found = server.ask(SHOWN, id=launched["run"]["runId"])["runOrError"]
            if found["status"] in ("SUCCESS", "FAILURE"):
                break
            assert time.monotonic() < deadline, found
            time.sleep(1)
    assert found["status"] == "SUCCESS"
    assert home.store("tiny").table(Cell("pool")).is_file()


def test_a_remedy_is_a_command_of_whoever_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell("round_1/selection", "00006|kmq.s0")
    monkeypatch.delenv("EDSEL_COMMAND", raising=False)
    assert make_command(tiny_study(), Cell("pool")) == "dagster asset materialize --select pool"
    expected = "dagster asset materialize --select one/round_1/selection --partition '00006|kmq.s0'"
    assert make_command(prefixed("one"), cell) == expected
    monkeypatch.setenv("EDSEL_COMMAND", "")  # so that it is taken back
    note_edsel()
    assert make_command(tiny_study(), cell) == "edsel run --only round_1/selection"
