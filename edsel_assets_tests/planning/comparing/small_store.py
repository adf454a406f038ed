"""A store with real tables and ledgers of a few cells, each made from the cells that are there by then."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from edsel_assets.planning.cells import Cell
from edsel_assets.planning.ledger import (
    InputRead,
    Ledger,
    mark_store,
    now,
    read_ledger,
    stored_files,
    write_ledger,
)
from edsel_assets.store import Store, table_hashes, write_table


def put(
    folder: Path, name: str, table: pa.Table, inputs: dict[str, list[str] | None], **entries: Any
) -> Ledger:
    """Write one cell and its ledger.

    Args:
        inputs: by cell, the columns that were read of it; None where the whole was.
        entries: of the ledger, such as ``settings`` or ``external``.
    """
    store, cell = Store(folder), Cell.parse(name)
    mark_store(store)
    write_table(store.table(cell), table)
    content, columns = table_hashes(table)
    ledger = Ledger(
        asset=cell.asset,
        partition=cell.partition,
        content=content,
        columns=columns,
        rows=table.num_rows,
        files=stored_files(store.files(cell)),
        inputs={parent: read_of(store, parent, names) for parent, names in inputs.items()},
        **{
            "code": "1",
            "device": "cpu",
            "threads": 1,
            "seconds": 1.0,
            "made": now(),
            "run": "a run",
            "host": "a host",
            "edsel": "0",
            **entries,
        },
    )
    write_ledger(store, ledger)
    return ledger


def read_of(store: Store, name: str, columns: list[str] | None) -> InputRead:
    parent = read_ledger(store, Cell.parse(name))
    assert parent is not None
    kept = None if columns is None else {c: (parent.columns or {})[c] for c in columns}
    return InputRead(content=parent.content, columns=kept, rows=parent.rows)


def ids(numbers: list[int]) -> list[str]:
    return [f"{i:032x}" for i in numbers]


def pool(numbers: list[int], response: str | None = None) -> pa.Table:
    return pa.table(
        {
            "prompt_id": ids(numbers),
            "prompt": pa.array([f"Say {i}." for i in numbers], pa.large_string()),
            "response": pa.array([response] * len(numbers), pa.large_string()),
        }
    )


def picks(numbers: list[int], replicate: int = 0) -> pa.Table:
    return pa.table(
        {
            "replicate": pa.array([replicate] * len(numbers), pa.int32()),
            "rank": list(range(len(numbers))),
            "prompt_id": ids(numbers),
            "gain": [1.0 / (i + 1) for i in range(len(numbers))],
        }
    )


def fill(
    store: Path,
    *,
    prompts: list[int],
    chosen: list[int],
    file: str = "hash of x.jsonl",
    orders: dict[str, str] | None = None,
    gamma: float = 0.1,
    response: str | None = None,
) -> None:
    """A pool, the orders, embeddings, a ranking, and a selection of its first three."""
    put(store, "pool", pool(prompts, response), {}, external={"pool/x.jsonl": file})
    placed = pa.table({"prompt_id": pa.array(list(orders or {}), pa.string())})
    put(
        store, "orders", placed, {}, external={f"orders/{name}.json": h for name, h in (orders or {}).items()}
    )
    vectors = pa.table({"prompt_id": ids(prompts), "embedding": [[float(i)] for i in prompts]})
    put(store, "embeddings", vectors, {"pool": ["prompt_id", "prompt"]}, external={"model/w": "weights"})
    read: dict[str, list[str] | None] = {"pool": ["prompt_id"], "orders": ["prompt_id"], "embeddings": None}
    put(store, "rankings[fl_rbf]", picks(chosen), read, settings={"selection.gamma": gamma})
    put(store, "selections[00003|fl_rbf]", picks(chosen[:3]), {"rankings[fl_rbf]": None})
