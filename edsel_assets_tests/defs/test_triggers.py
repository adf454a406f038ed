"""Jobs and triggers: what they would start, why, and that they are off until switched on."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from edsel_assets.annotation import AnnotationError, Ledger
from edsel_assets.defs.build import build_definitions
from edsel_assets.defs.jobs import PARTS, run_config
from edsel_assets.planning.ledger import mark_store
from edsel_assets.running.instance import fail_orphaned_runs, open_instance
from edsel_assets.store import Home
from edsel_assets.store.locks import hold
from edsel_assets.store.places import DagsterHome
from edsel_assets.study import Study
from edsel_assets.study.triggers import NIGHTLY, STALE
from edsel_assets_tests.annotation.conftest import placed
from edsel_assets_tests.defs.conftest import TINY, tiny_study


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
    with open_instance(Home.at(tmp_path / "home"), "tiny") as opened:
        yield opened


def test_everything_that_starts_runs_is_off_until_switched_on() -> None:
    repository = build_definitions(tiny_study()).get_repository_def()
    assert {s.default_status for s in repository.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}
    assert {s.default_status for s in repository.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}
    assert {s.name for s in repository.sensor_defs} == {"stale_selections", "dropped_answers"}


def test_jobs_are_named_for_what_a_person_wants() -> None:
    names = {job.name for job in build_definitions(tiny_study()).get_repository_def().get_all_jobs()}
    assert {"select", "train_on_answers", "finetune_and_score", "rounds", "report"} == set(PARTS) <= names
    assert {"order_prompts", "export_order", "import_answers", "answer_order", "bring_up_to_date"} <= names


def small_study(pool_file: Path) -> Study:
    return tiny_study(
        pool={"path": str(pool_file), "limit": None},
        selection={"strategies": ["random", "k_center"], "budgets": [5], "gammas": [1.0]},
        clustering={"counts": [4]},
    )


def test_a_watching_trigger_records_first_and_then_starts_a_run_for_each_change(
    pool_file, instance, tmp_path
) -> None:
    definitions = build_definitions(small_study(pool_file), home=tmp_path / "home")
    sensor = definitions.get_sensor_def("stale_selections")

    def tick(cursor: str | None = None):
        return sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))

    first = tick()
    assert not first.run_requests, "the first look records"
    job = definitions.get_job_def("bring_up_to_date")
    asked = run_config(small_study(pool_file), ["selections"])
    assert job.execute_in_process(instance=instance, run_config=asked).success
    settled = tick(first.cursor)
    assert not settled.run_requests
    with pool_file.open("a", encoding="utf-8") as file:
        file.write('{"prompt": "Say more.", "response": "more", "task": "say"}\n')
    changed = tick(settled.cursor)
    (request,) = changed.run_requests
    cause = "pool/pool.jsonl changed: 1 prompt joined the pool"
    assert request.tags["edsel/cause"] == cause
    assert request.tags["edsel/trigger"] == "stale_selections"
    assert request.tags["edsel/reason"] == STALE.reason
    assert not tick(changed.cursor).run_requests, "asked for once"
    assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    assert tick(changed.cursor).skip_message == "Nothing that it watches changed."


def test_a_file_that_cannot_be_read_is_a_reason_to_skip(pool_file, instance, tmp_path) -> None:
    definitions = build_definitions(small_study(pool_file), home=tmp_path / "home")
    sensor = definitions.get_sensor_def("stale_selections")
    first = sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
    pool_file.write_text('{"prompt": "whole"}\n{"prompt": "ha', encoding="utf-8")
    tick = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=first.cursor))
    assert not tick.run_requests
    assert f"{pool_file}, row 2: " in tick.skip_message
    assert "Traceback" not in tick.skip_message
    pool_file.unlink()
    gone = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=tick.cursor))
    assert str(pool_file) in gone.skip_message
    assert gone.cursor == tick.cursor


def test_a_clock_starts_a_run_only_where_something_is_to_be_made(pool_file, instance, tmp_path) -> None:
    definitions = build_definitions(small_study(pool_file), home=tmp_path / "home")
    schedule = definitions.get_schedule_def("reselect_nightly")

    def tick():
        return schedule.evaluate_tick(dg.build_schedule_context(instance=instance))

    assert (schedule.job_name, schedule.cron_schedule) == ("bring_up_to_date", NIGHTLY.cron)
    (request,) = tick().run_requests
    assert "never made" in request.tags["edsel/cause"]
    job = definitions.get_job_def("bring_up_to_date")
    assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    after = tick()
    assert (after.run_requests, after.skip_message) == ([], "Every target is fresh.")
    pool_file.write_text("no JSON", encoding="utf-8")
    assert str(pool_file) in tick().skip_message


def test_declared_triggers_become_schedules_and_sensors(tmp_path) -> None:
    declared = [
        {"name": "weekly", "reason": "For Monday.", "cron": "30 6 * * 1", "timezone": "Asia/Tokyo"},
        {"name": "grown", "watch": ["pool"], "minimum_new": 5, "seconds": 7, "active": True},
    ]
    study = Study.model_validate({**TINY, "triggers": declared})
    repository = build_definitions(study, home=tmp_path).get_repository_def()
    (schedule,) = repository.schedule_defs
    (sensor,) = [found for found in repository.sensor_defs if found.name != "dropped_answers"]
    assert (schedule.name, schedule.cron_schedule) == ("weekly", "30 6 * * 1")
    assert schedule.execution_timezone == "Asia/Tokyo"
    assert schedule.description == "For Monday. Makes what is stale of selections."
    assert (sensor.name, sensor.minimum_interval_seconds) == ("grown", 7)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_a_target_that_is_no_asset_is_refused(tmp_path) -> None:
    study = Study.model_validate({**TINY, "triggers": [{"name": "t", "watch": ["pool"], "targets": "all"}]})
    with pytest.raises(ValueError, match=r"triggers: t has the target all, which is no asset; name some of "):
        build_definitions(study, home=tmp_path)


def test_the_sensor_of_dropped_answers_starts_a_run_for_new_files_alone(tmp_path, instance) -> None:
    folder, home = tmp_path / "drop", tmp_path / "home"
    study = tiny_study(
        annotation={"annotator": {"kind": "folder", "folder": str(folder), "settle_seconds": 0}}
    )
    store = Home.at(home).store("tiny")
    mark_store(store)
    definitions = build_definitions(study, home=home)
    sensor = definitions.get_sensor_def("dropped_answers")

    def tick(cursor: str | None = None):
        return sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))

    assert "no folder" in tick().skip_message
    folder.mkdir()
    assert tick().skip_message == "No file of answers waits."
    _, ids = placed(store, 3)
    (folder / "a.jsonl").write_text(f'{{"prompt_id": "{ids[0]}", "response": "yes"}}\n', encoding="utf-8")
    found = tick()
    assert [request.tags["edsel/reason"] for request in found.run_requests] == ["dropped: a.jsonl"]
    assert not tick(found.cursor).run_requests, "asked for once"
    result = definitions.get_job_def("answer_order").execute_in_process(instance=instance)
    assert result.success
    assert Ledger(store).state()[ids[0]].response == "yes"
    emptied = tick(found.cursor)
    assert not emptied.run_requests, "nothing waits any more"
    # Moved back as it was, before or after a look at the empty folder: asked for again, under a new key.
    (folder / "imported" / "a.jsonl").rename(folder / "a.jsonl")
    back = [*tick(found.cursor).run_requests, *tick(emptied.cursor).run_requests]
    assert len({request.run_key for request in [*found.run_requests, *back]}) == 3


def test_the_answer_job_takes_an_order_and_names_what_is_missing(tmp_path, instance) -> None:
    home = tmp_path / "home"
    mark_store(Home.at(home).store("tiny"))
    placed(Home.at(home).store("tiny"), 3)
    form = {"ops": {"ask_the_annotator": {"config": {"order": "order-0001"}}}}
    for settings, reason in (
        ({}, "answers come from people"),
        ({"kind": "folder", "folder": str(tmp_path / "absent")}, "there is no folder"),
    ):
        definitions = build_definitions(tiny_study(annotation={"annotator": settings}), home=home)
        job = definitions.get_job_def("answer_order")
        with pytest.raises(AnnotationError, match=reason):
            job.execute_in_process(instance=instance, run_config=form)
    sensor = build_definitions(tiny_study(), home=home).get_sensor_def("dropped_answers")
    tick = sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
    assert "of kind people, not folder" in tick.skip_message


def test_the_select_job_makes_the_selections_and_then_finds_nothing_to_do(
    pool_file, instance, tmp_path
) -> None:
    study = small_study(pool_file)
    definitions = build_definitions(study, home=tmp_path / "home")
    for expected in (True, False):
        result = definitions.get_job_def("select").execute_in_process(instance=instance)
        assert result.success
        outputs = [event for event in result.all_events if event.is_successful_output]
        made = outputs[-1].event_specific_data.metadata["made"].value
        assert (made > 0) is expected
    assert (tmp_path / "home" / "store" / "tiny" / "selections" / "00005" / "k_center.parquet").is_file()


def test_only_runs_whose_process_is_gone_are_failed(instance) -> None:
    job = build_definitions(tiny_study()).get_job_def("select")
    home = Path(instance.root_directory)

    def started() -> str:
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        return run.run_id

    alive, gone, foreign = started(), started(), started()
    with hold(DagsterHome(home).run_lease(gone), "a run is alive"):
        pass
    with hold(DagsterHome(home).run_lease(alive), "a run is alive"):
        assert fail_orphaned_runs(instance) == 1
        assert fail_orphaned_runs(instance) == 0
    status = [instance.get_run_by_id(run).status for run in (alive, gone, foreign)]
    running, failed = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
    assert status == [running, failed, running]
