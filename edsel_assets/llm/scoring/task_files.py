"""Which of lm-eval's folders hold the definitions of given tasks.

Parsing all of its 14,000 files takes seven seconds of a core, looking through their text half a second. So
only the folders whose text holds a name are parsed.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

#: What may be a name: the value of a key that names things, or a word of a list.
_WORD = r"[\"']?([^\s\"'#,\[\]{}:]+)"
_NAMES = re.compile(
    rf"\b(?:task|group|tag)[\"']?[ \t]*:[ \t]*{_WORD}"
    rf"|^[ \t]*-[ \t]+{_WORD}[\"']?[ \t]*(?:#.*)?$"
    rf"|[\[,][ \t]*{_WORD}",
    re.MULTILINE,
)
_INCLUDED = re.compile(r"^include:[ \t]*[\"']?([^\s\"']+)", re.MULTILINE)


def folders_of(names: Iterable[str]) -> set[str]:
    """The folders of lm-eval's in whose definitions one of ``names`` may stand; empty for unknown names."""
    found, _ = _words()
    return {folder for name in names for folder in found.get(name, ())}


def names_like(name: str, more: Iterable[str] = ()) -> list[str]:
    """At most five names, of lm-eval's and of ``more``, that are near ``name``, nearest first."""
    _, names = _words()
    return difflib.get_close_matches(name, sorted(names.union(more)), n=5, cutoff=0.6)


@lru_cache(maxsize=1)
def _words() -> tuple[dict[str, set[str]], set[str]]:
    """The folders by each word that may be a name; the words that are values of a key that names things."""
    folders: dict[str, set[str]] = {}
    names: set[str] = set()
    for folder in _tasks_folder().iterdir():
        for parent, _, files in os.walk(folder):
            for file in files:
                ending = os.path.splitext(file)[1]
                if ending in ("", ".yaml", ".yml"):  # a part that others include may have none
                    for value, *others in _words_in(os.path.join(parent, file)):
                        folders.setdefault(value or "".join(others), set()).add(str(folder))
                        names.add(value)
    return folders, names - {""}


def _words_in(file: str, elsewhere: bool = False) -> Iterator[tuple[str, str, str]]:
    """Matches of a file, and of those that it includes from elsewhere, one group of each filled."""
    with open(file, encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    yield from _NAMES.findall(text)
    for included in _INCLUDED.findall(text):
        path = os.path.join(os.path.dirname(file), included)
        if (elsewhere or included.startswith("..")) and os.path.isfile(path):
            yield from _words_in(path, elsewhere=True)


def _tasks_folder() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("lm-eval is not installed; pip install lm-eval.")
    return Path(spec.submodule_search_locations[0], "tasks")
