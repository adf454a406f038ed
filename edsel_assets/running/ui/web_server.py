"""The process of the web server, which ``running.ui.services`` starts."""

import argparse
from pathlib import Path

_OPEN_SECONDS = 1  # that open pages have when the server ends: a web socket would hold it for ever


def main() -> None:
    """Serve Dagster's pages and our own, behind ``running.ui.gate``, until a signal."""
    import uvicorn

    from edsel_assets.running.dagster_internals import web_application
    from edsel_assets.running.ui.gate import guarded
    from edsel_assets.running.ui.pages import KnownRuns, OwnFiles
    from edsel_assets.store import Home

    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--allow-host", action="append", default=[])
    words = parser.parse_args()
    with web_application(words.workspace) as (application, instance):
        pages = OwnFiles(KnownRuns(application, instance.has_run), Home.at())
        uvicorn.run(
            guarded(pages, words.host, words.allow_host),
            host=words.host,
            port=words.port,
            log_level="warning",
            timeout_graceful_shutdown=_OPEN_SECONDS,
        )


if __name__ == "__main__":
    main()
