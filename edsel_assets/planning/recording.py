"""What a step reads and makes, gathered while it runs, for the ledgers of its cells.

The IO manager notes each input as it is read; ``versioned_output`` notes the content of each value;
when the value is stored, both go into its ledger.
"""

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edsel_assets.kinds import libraries_of, settings_of
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.ledger import InputRead, Ledger, StoredFile, now
from edsel_assets.study import Study


@dataclass(frozen=True)
class Content:
    """Hash of a value, of its columns where it is a table, and its number of rows."""

    value: str
    columns: dict[str, str] | None = None
    rows: int | None = None


@dataclass
class StepRecord:
    """One step of a run: inputs as read, contents made by output, and when its present output was begun."""

    inputs: dict[str, InputRead] = field(default_factory=dict)
    contents: dict[str, Content] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    data_sets: dict[str, str] = field(default_factory=dict)
    resolved: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)  # PNG files to store, by hash
    begun: float = field(default_factory=time.perf_counter)


_STEPS: dict[tuple[str, str], StepRecord] = {}


def step_record(run_id: str, step_key: str) -> StepRecord:
    """The record of a step of this process, begun at the first call."""
    if (run_id, step_key) not in _STEPS:
        reset_peak_memory()
        _STEPS[run_id, step_key] = StepRecord()
    return _STEPS[run_id, step_key]


def forget_run(run_id: str) -> None:
    """Drop the records of a run that has ended."""
    for key in [key for key in _STEPS if key[0] == run_id]:
        del _STEPS[key]


def make_ledger(
    study: Study,
    cell: Cell,
    output: str,
    record: StepRecord,
    files: Mapping[str, StoredFile],
    external: Mapping[str, str],
    run_id: str,
) -> Ledger:
    """The ledger of a cell whose value a step has just stored.

    Args:
        output: the output of the step that the value was, by name.
        external: hashes of the files outside, taken before the step read them.
    """
    from edsel_assets import __version__

    content = record.contents[output]
    device, threads = machine(study)
    seconds = time.perf_counter() - record.begun
    record.begun = time.perf_counter()
    return Ledger(
        asset=cell.asset,
        partition=cell.partition,
        content=content.value,
        columns=content.columns,
        rows=content.rows,
        files=dict(files),
        # What a step was given and did not read decides nothing.
        inputs={name: read for name, read in record.inputs.items() if read.columns != {}},
        settings=settings_of(study, cell.kind, cell.partition),
        resolved=record.resolved.get(output, {}),
        external={**external, **record.data_sets},
        code=cell.row.version,
        libraries=libraries_of(study, cell.kind, cell.partition),
        seed=record.seeds.get(output),
        device=device,
        threads=threads,
        seconds=round(seconds, 3),
        peak_memory=peak_memory(),
        made=now(),
        run=run_id,
        host=socket.gethostname(),
        edsel=__version__,
    )


def machine(study: Study) -> tuple[str, int]:
    """Device and threads of this process's products; torch is asked only where it is loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "cpu", os.cpu_count() or 1
    if study.model.device not in ("cpu", "auto"):
        return study.model.device, torch.get_num_threads()
    gpu = study.model.device == "auto" and torch.cuda.is_available()
    return (torch.cuda.get_device_name() if gpu else "cpu"), torch.get_num_threads()


def reset_peak_memory() -> None:
    """Count the peak from now on, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # then the peak is the process's since its start


def peak_memory() -> int | None:
    """Largest resident memory in bytes since the last reset; None where the system does not say."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def content_of(value: Any) -> Content:
    """Content of a table, a table with arrays or items beside it, or the weights in a directory."""
    from edsel_assets.store import content_hash, table_hashes

    if isinstance(value, Path):
        # Not the log of the training that led to an adapter.
        return Content(content_hash({p.name: p for p in value.iterdir() if p.suffix == ".safetensors"}))
    arrays = getattr(value, "arrays", None)
    table = getattr(value, "table", value)
    whole, columns = table_hashes(table)
    items = getattr(value, "items", None)
    if not arrays and items is None:
        return Content(whole, columns, table.num_rows)
    finer = {} if items is None else {"items": items}
    return Content(content_hash({"table": whole, **finer, **(arrays or {})}), None, table.num_rows)
