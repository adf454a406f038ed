"""How the package is built: what each room may import, and how large it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import edsel_assets.llm
from edsel_assets import llm

ROOT = Path(edsel_assets.llm.__file__).parent
FLOORS = {"models": 0, "servers": 0, "reading": 1, "training": 2, "scoring": 2, "judging": 2}


def imports() -> dict[str, set[str]]:
    """Per module of the package, the modules of the package that it imports, inside functions too."""
    import grimp

    graph = grimp.build_graph("edsel_assets")
    modules = {name for name in graph.modules if name.startswith("edsel_assets.llm.")}
    return {name: graph.find_modules_directly_imported_by(name) & modules for name in modules}


def room(module: str) -> str:
    return module.split(".")[2]


def test_no_room_imports_from_one_above_or_beside_it() -> None:
    for module, imported in imports().items():
        for other in imported:
            assert room(other) == room(module) or FLOORS[room(other)] < FLOORS[room(module)], (module, other)


def test_no_module_imports_itself_through_others() -> None:
    left = imports()
    while left:
        free = {module for module, imported in left.items() if not imported & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {module: imported for module, imported in left.items() if module not in free}


def test_rooms_are_small() -> None:
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(FLOORS)
    assert all(len(list((ROOT / name).glob("*.py"))) <= 15 for name in rooms)


def test_every_public_name_is_there_and_importing_it_waits() -> None:
    assert all(getattr(llm, name) is not None for name in llm.__all__)
    heavy = "torch", "transformers", "peft", "lm_eval", "openai"
    code = f"import sys, edsel_assets.llm; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
