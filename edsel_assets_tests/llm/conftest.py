"""What the tests of the language-model engine share: real data where there is some, and PyTorch's threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data, ``EDSEL_DATA`` or ``shared/data`` beside the project; skips without one."""
    root = Path(os.environ.get("EDSEL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no data in {root}; set EDSEL_DATA")
    return root


@pytest.fixture(autouse=True)
def same_threads_and_draws() -> Iterator[None]:
    """PyTorch's number of threads and its random state after a test are those before it."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)
