"""A worker process: makes cells, or carries out runs of the UI, as its standard input asks.

The first line says which study: its settings, or none to take the study that EDSEL_STUDY names. Each
further line is a request; see ``running.workers``.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from edsel_assets.planning.cells import Cell
from edsel_assets.running.local import RunFailed, Runner
from edsel_assets.store import Home
from edsel_assets.study import Study


def main() -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run that is stopped is marked so
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    # What started it ends its workers by a signal when one of them failed, or is gone itself.
    with suppress(KeyboardInterrupt):
        runner = _open(json.loads(sys.stdin.readline()), lambda reason: say({"waiting": reason}))
        for line in sys.stdin:
            answer = _answer(runner, json.loads(line))
            try:
                say(answer)
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), answers.fileno())  # nothing is left to be told
                return


def _open(greeting: dict[str, Any], said: Callable[[str], None]) -> Callable[[], Runner]:
    """Gives the runner of the study as it is now: a study file may be edited between two runs.

    Args:
        said: told what it waits for.
    """
    from edsel_assets.defs.build import build_definitions
    from edsel_assets.running.instance import open_instance

    home = Home.at(greeting["home"])
    settings = greeting["study"]
    opened: dict[str, Any] = {}

    def runner() -> Runner:
        study = Study.from_env() if settings is None else Study.model_validate(settings)
        # The graph depends on the study and on the orders that there are.
        state = (study, home.store(study.name).order_names())
        if opened.get("state") != state:
            instance = open_instance(home, study.name)
            definitions = build_definitions(study, home=home)
            runner = Runner(study, definitions, instance, home, waiting=said)
            opened.update(state=state, runner=runner)
        return opened["runner"]

    return runner


def _answer(runner: Callable[[], Runner], request: dict[str, Any]) -> dict[str, Any]:
    try:
        if "run" in request:
            return {"success": runner().carry_out(request["run"])}
        made = runner().make([Cell(*cell) for cell in request["cells"]])
        return {"failed": None, "made": [[cell.asset, cell.partition] for cell in made]}
    except (RunFailed, ValueError, OSError) as failure:
        return {"failed": str(failure), "made": []}
    except SQLAlchemyError as failure:
        from edsel_assets.running.instance import log_failure

        return {"failed": log_failure(failure) or str(failure), "made": []}


if __name__ == "__main__":
    main()
