"""A trigger, off until switched on in the UI: takes in files of answers that are dropped into the folder."""

import time

import dagster as dg

from edsel_assets.defs.graph import Graph

_INTERVAL_SECONDS = 30


def build(graph: Graph, answer: dg.JobDefinition) -> list[dg.SensorDefinition]:
    settings = graph.study.annotation.annotator

    @dg.sensor(
        job=answer,
        name=graph.named("dropped_answers"),
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Takes in files of answers that lie in annotation.annotator.folder.",
    )
    def dropped_answers(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        """A file that was taken in, or set aside, lies there no more; so what lies there is new.

        Moving a file back changes the time of its entry (ctime), so it is new again.
        """
        from edsel_assets.annotators import FolderAnnotator, annotator_of
        from edsel_assets.store import fingerprint

        if settings.kind != "folder":
            return dg.SkipReason(f"The study's annotator is of kind {settings.kind}, not folder.")
        annotator = annotator_of(settings, graph.store)
        assert isinstance(annotator, FolderAnnotator)
        problems = annotator.problems()
        if problems:
            return dg.SkipReason(" ".join(problems))
        waiting = {path.name: path.stat() for path in annotator.waiting()}
        if not waiting:
            return dg.SensorResult(skip_reason="No file of answers waits.", cursor="none")
        seen = fingerprint(
            files=sorted((name, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in waiting.items())
        )
        if seen == context.cursor:
            return dg.SkipReason("A run for these files was asked for already.")
        tags = {"edsel/reason": f"dropped: {', '.join(sorted(waiting))}"[:250]}
        request = dg.RunRequest(run_key=f"{seen}.{time.time_ns()}", tags=tags)  # a key serves once for ever
        return dg.SensorResult(run_requests=[request], cursor=seen)

    return [dropped_answers]
