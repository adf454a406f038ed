"""Write the demo's pool and the items of its benchmarks: ``python -m scripts.demo.make_data [FOLDER]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edsel_assets.demo import DEMO, local_path
from scripts.demo.make_items import choice_items, generate_items
from scripts.demo.make_pool import demo_rows


def lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def files() -> dict[str, bytes]:
    """Each file of data by its name in ``edsel_assets/demo``."""
    return {
        "pool.jsonl": lines(demo_rows()),
        "tasks/choice.jsonl": lines(choice_items()),
        "tasks/generate.jsonl": lines(generate_items()),
    }


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else local_path(DEMO)
    for name, data in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
