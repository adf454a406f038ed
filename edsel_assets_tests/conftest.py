"""The longest files of tests first, so that the processes of a run end together."""

import pytest

_LONGEST = ("rehearsal/test_rehearse.py", "browser/test_ui.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONGEST))
