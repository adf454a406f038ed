"""The longest files of tests first, so that the processes of a run end together; logs that spare captures."""

import sys

import absl.logging
import pytest

_LONGEST = ("rehearsal/test_rehearse.py", "browser/test_ui.py")

# lm-eval brings absl, whose handler closes the stream that it found first when Dagster sets handlers up
# anew. That stream would be pytest's capture, which every later test needs. The real one is never closed.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONGEST))
