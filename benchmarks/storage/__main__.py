"""``python -m benchmarks.storage``: writes results.json and results.md beside this file.

Reading: the T0 pool from Parquet to one row per normalised prompt. Rows: an embedding for each
of its prompts, float16, stored by id in shards of 1,024 and read back in another order. Every
contender runs in a process of its own, on the same input, several times in turn; the table has the
least of each figure, as other work on the machine only adds.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edsel_assets.store import Home

HERE = Path(__file__).parent
DATA = Path(os.environ.get("EDSEL_DATA", HERE.parents[1] / ".." / "shared" / "data"))
ROUNDS, SHARD = 5, 1024


def normalise(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def name(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def pool_ours() -> int:
    from edsel_assets.pools import PoolSource, read_pool

    return read_pool(PoolSource(DATA / "t0_pool.parquet")).table.num_rows


def pool_pandas() -> int:
    import pandas as pd

    frame = pd.read_parquet(DATA / "t0_pool.parquet", columns=["prompt", "response", "task"])
    frame["prompt"] = frame["prompt"].map(normalise)
    frame["prompt_id"] = frame["prompt"].map(name)
    return len(frame[frame["prompt"] != ""].drop_duplicates("prompt_id").sort_values("prompt_id"))


def pool_datasets() -> int:
    import datasets

    with tempfile.TemporaryDirectory() as cache:
        data = datasets.load_dataset(
            "parquet", data_files=str(DATA / "t0_pool.parquet"), split="train", cache_dir=cache
        )
        data = data.map(lambda row: {"prompt": normalise(row["prompt"])})
        data = data.map(lambda row: {"prompt_id": name(row["prompt"])})
        return len(data.to_pandas().drop_duplicates("prompt_id").sort_values("prompt_id"))


def pool_floor() -> int:
    """Decode the file: every contender must."""
    import pyarrow.parquet as pq

    return pq.read_table(DATA / "t0_pool.parquet").num_rows


def rows_input() -> tuple[list[str], np.ndarray, list[str]]:
    matrix = np.load(DATA / "t0_minilm_embeddings.npy")
    ids = [f"{i * 2654435761 % 2**64:032x}" for i in range(len(matrix))]
    return ids, matrix, [ids[i] for i in np.random.default_rng(0).permutation(len(ids))]


def rows_ours(folder: str) -> np.ndarray:
    from edsel_assets.store import RowStore, embeddings_table, list_matrix

    ids, matrix, wanted = rows_input()
    store = RowStore(Home.at(folder), "embedding", {"model": "minilm"})
    for i in range(0, len(ids), SHARD):
        store.append(embeddings_table(ids[i : i + SHARD], matrix[i : i + SHARD]))
    return list_matrix(store.read(wanted, ["embedding"])["embedding"])


def rows_pandas(folder: str) -> np.ndarray:
    import pandas as pd

    ids, matrix, wanted = rows_input()
    for i in range(0, len(ids), SHARD):
        shard = pd.DataFrame({"prompt_id": ids[i : i + SHARD], "embedding": list(matrix[i : i + SHARD])})
        shard.to_parquet(f"{folder}/{i:08d}.parquet", index=False)
    return np.stack(pd.read_parquet(folder).set_index("prompt_id").loc[wanted, "embedding"].to_list())


def rows_sqlite(folder: str) -> np.ndarray:
    ids, matrix, wanted = rows_input()
    database = sqlite3.connect(f"{folder}/rows.db")
    database.execute("create table rows (prompt_id text primary key, embedding blob)")
    for i in range(0, len(ids), SHARD):
        shard = zip(ids[i : i + SHARD], (row.tobytes() for row in matrix[i : i + SHARD]), strict=True)
        database.executemany("insert into rows values (?, ?)", shard)
        database.commit()
    read = (
        database.execute("select embedding from rows where prompt_id = ?", (i,)).fetchone()[0] for i in wanted
    )
    return np.stack([np.frombuffer(blob, np.float16) for blob in read])


def rows_floor(folder: str) -> np.ndarray:
    """One array without ids, written and read whole."""
    ids, matrix, wanted = rows_input()
    np.save(f"{folder}/rows.npy", matrix)
    place = {key: i for i, key in enumerate(ids)}
    return np.load(f"{folder}/rows.npy")[[place[key] for key in wanted]]


def rows_checked(run: Callable[[str], np.ndarray]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = run(folder)
        stored = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
    order = np.random.default_rng(0).permutation(len(found))
    assert np.array_equal(found, np.load(DATA / "t0_minilm_embeddings.npy")[order])
    return stored


CASES: dict[str, dict[str, Callable[[], int]]] = {
    "T0 pool, 54,032 rows to unique prompts (result: prompts)": {
        "edsel": pool_ours,
        "pandas": pool_pandas,
        "datasets": pool_datasets,
        "floor: decode": pool_floor,
    },
    "54,032 embeddings of 384 float16 by id, written and read back in another order (result: bytes stored)": {
        "edsel": lambda: rows_checked(rows_ours),
        "pandas Parquet shards": lambda: rows_checked(rows_pandas),
        "SQLite blobs": lambda: rows_checked(rows_sqlite),
        "floor: one array": lambda: rows_checked(rows_floor),
    },
}


def main() -> int:
    if len(sys.argv) == 3:
        start = time.perf_counter()
        result = CASES[sys.argv[1]][sys.argv[2]]()
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_SELF)
        figures = {"seconds": seconds, "cpu_seconds": time.process_time(), "peak_gib": used.ru_maxrss / 2**20}
        print(json.dumps({**figures, "result": result}))
        return 0
    results: dict[str, Any] = {}
    for case, contenders in CASES.items():
        runs: dict[str, list[dict[str, float]]] = {each: [] for each in contenders}
        for _ in range(ROUNDS):  # in turn, so that a change of the machine's load meets all
            for each in contenders:
                command = [sys.executable, "-m", "benchmarks.storage", case, each]
                done = subprocess.run(
                    command, capture_output=True, text=True, check=True, cwd=HERE.parents[1]
                )
                runs[each].append(json.loads(done.stdout.splitlines()[-1]))
        results[case] = {
            each: {key: min(run[key] for run in rows) for key in rows[0]} for each, rows in runs.items()
        }
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results.md").write_text(table(results))
    print(table(results))
    return 0


def table(results: dict[str, Any]) -> str:
    parts = [
        f"# Storage benchmarks\n\nLeast of {ROUNDS} runs, imports included, on {os.cpu_count()} cores.\n"
    ]
    for case, rows in results.items():
        parts.append(f"## {case}\n")
        parts.append("| contender | seconds | times ours | CPU seconds | times ours | peak GiB | result |")
        parts.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for each, row in rows.items():
            cells = [each]
            for figure in ("seconds", "cpu_seconds"):
                cells += [f"{row[figure]:.2f}", f"{row[figure] / rows['edsel'][figure]:.2f}"]
            cells += [f"{row['peak_gib']:.2f}", f"{row['result']:,}"]
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
