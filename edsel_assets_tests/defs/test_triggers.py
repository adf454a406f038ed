"""Jobs, the schedule, the sensors and the automation: what they would start, and that they are off."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from edsel_assets.defs.instance import bury_dead_runs, open_instance

from edsel_assets.defs.build import build_definitions
from edsel_assets.defs.graph import on_changed_content
from edsel_assets.defs.jobs import PARTS
from edsel_assets_tests.defs.conftest import tiny_study


@pytest.fixture
def pool_file(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_text(
        "".join(f'{{"prompt": "Say {i}.", "response": "{i}", "task": "say"}}\n' for i in range(40)),
        encoding="utf-8",
    )
    return path


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    with open_instance(tmp_path / "home", "tiny") as opened:
        yield opened


def test_everything_that_starts_runs_is_off_until_switched_on() -> None:
    repository = build_definitions(tiny_study()).get_repository_def()
    assert {s.default_status for s in repository.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}
    assert {s.default_status for s in repository.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}
    assert {s.name for s in repository.sensor_defs} == {"pool_files", "changed_content"}


def test_jobs_are_named_for_what_a_person_wants() -> None:
    names = {job.name for job in build_definitions(tiny_study()).get_repository_def().get_all_jobs()}
    assert {"select", "finetune_and_score", "rounds", "report"} == set(PARTS) <= names


def test_the_sensor_asks_for_a_selection_when_the_pools_files_change(pool_file, instance) -> None:
    definitions = build_definitions(tiny_study(pool={"path": str(pool_file), "limit": None}))
    sensor = definitions.get_sensor_def("pool_files")
    first = sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
    assert [request.job_name or sensor.job_name for request in first.run_requests] == ["select"]
    same = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=first.cursor))
    assert not same.run_requests
    assert "none new" in same.skip_message
    with pool_file.open("a", encoding="utf-8") as file:
        file.write('{"prompt": "Say more.", "response": "more", "task": "say"}\n')
    os.utime(pool_file, (time.time() + 5, time.time() + 5))
    changed = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=first.cursor))
    assert len(changed.run_requests) == 1
    assert changed.run_requests[0].run_key != first.run_requests[0].run_key


def test_the_schedule_selects_every_night(instance) -> None:
    schedule = build_definitions(tiny_study()).get_schedule_def("reselect_nightly")
    tick = schedule.evaluate_tick(dg.build_schedule_context(instance=instance))
    assert schedule.job_name == "select"
    assert len(tick.run_requests) == 1


def test_the_select_job_makes_the_selections_and_then_finds_nothing_to_do(
    pool_file, instance, tmp_path
) -> None:
    study = tiny_study(
        pool={"path": str(pool_file), "limit": None},
        selection={"strategies": ["random", "k_center"], "budgets": [5], "gammas": [1.0]},
        clustering={"counts": [4]},
    )
    definitions = build_definitions(study, home=tmp_path / "home")
    for expected in (True, False):
        result = definitions.get_job_def("select").execute_in_process(instance=instance)
        assert result.success
        outputs = [event for event in result.all_events if event.is_successful_output]
        made = outputs[-1].event_specific_data.metadata["made"].value
        assert (made > 0) is expected
    assert (tmp_path / "home" / "store" / "tiny" / "selections" / "00005" / "k_center.parquet").is_file()


def test_automation_fires_on_changed_content_and_not_on_a_repeated_run(instance) -> None:
    content = {"version": "a"}

    @dg.asset
    def upstream() -> dg.Output:
        return dg.Output(None, data_version=dg.DataVersion(content["version"]))

    @dg.asset(automation_condition=on_changed_content(), deps=[upstream])
    def downstream() -> None:
        return None

    definitions = dg.Definitions([upstream, downstream])
    dg.materialize([upstream, downstream], instance=instance)
    first = dg.evaluate_automation_conditions(definitions, instance)
    dg.materialize([upstream], instance=instance)
    repeated = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
    assert repeated.total_requested == 0
    content["version"] = "b"
    dg.materialize([upstream], instance=instance)
    changed = dg.evaluate_automation_conditions(definitions, instance, cursor=repeated.cursor)
    assert changed.total_requested == 1


def test_runs_of_a_killed_process_are_ended(instance) -> None:
    create_run_for_test(
        instance, job_name="x", status=dg.DagsterRunStatus.STARTED, tags={"edsel/owner": "cli"}
    )
    create_run_for_test(instance, job_name="x", status=dg.DagsterRunStatus.STARTED)
    assert bury_dead_runs(instance) == 1
    assert bury_dead_runs(instance) == 0
