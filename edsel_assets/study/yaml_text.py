"""YAML read as plain settings: text, numbers, true and false, lists, and mappings with names as keys.

Less than YAML: no dates (they are text), no merge keys, no tags for other types, no duplicate keys,
and anchors only within limits, so that a file of a few bytes cannot grow in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

MOST_BYTES = 100_000
_MOST_VALUES = 20_000
_MOST_DEPTH = 40
_TAG = "tag:yaml.org,2002:"
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}

#: Where a value stands: names and positions from the top.
Place = tuple[str | int, ...]


class SettingsError(ValueError):
    """What is wrong and what to do, and on which line (from 1; None where no line is to blame)."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Composes nodes, not too deep; makes no values."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            reason = f"nested more than {_MOST_DEPTH} deep; settings need three or four levels"
            raise SettingsError(reason, _line(self.peek_event()))
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"^(?:~|null|Null|NULL|)$"), None)
_Loader.add_implicit_resolver(
    _TAG + "bool", re.compile(r"^(?:yes|no|true|false|on|off)$", re.IGNORECASE), None
)
_Loader.add_implicit_resolver(_TAG + "int", re.compile(r"^[-+]?[0-9][0-9_]*$", re.ASCII), None)
_Loader.add_implicit_resolver(
    _TAG + "float",
    re.compile(
        r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?$"
        r"|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$",
        re.ASCII,
    ),
    None,
)


def parse(text: str) -> tuple[Any, dict[Place, int]]:
    """The content of ``text``, and the line of each value in it.

    Raises:
        SettingsError: not YAML, or more than plain settings.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise SettingsError(*_plain_reason(error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(
            f"holds the control character U+{error.character:04X}; remove it", line
        ) from error
    except (ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, SettingsError):
            raise
        where = loader.line + 1 if loader is not None else None
        raise SettingsError("not valid YAML; check its escapes and numbers", where) from error
    finally:
        if loader is not None:
            loader.dispose()
    builder = _Builder()
    return (None if node is None else builder.build(node, ())), builder.lines


def _plain_reason(error: yaml.MarkedYAMLError) -> tuple[str, int | None]:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or "not valid").replace("<stream end>", "the end")
    line = mark.line + 1 if mark else None
    if "'\\t'" in problem:
        return "a tab stands where spaces are needed; indent with spaces", line
    if "expected a single document" in str(error):
        return "holds more than one document; keep one, without a second ---", line
    return f"not valid YAML ({problem}); check the indentation, colons and quotes there", line


def dotted(place: Place) -> str:
    """``selection.budgets.0``, for messages."""
    return ".".join(str(part)[:60] for part in place)


def _line(item: Any) -> int:
    return int(item.start_mark.line) + 1


class _Builder:
    """Makes values of nodes, and counts them: an alias counts for all that it stands for."""

    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.values = 0

    def build(self, node: Any, place: Place) -> Any:
        self.values += 1
        line = _line(node)
        if self.values > _MOST_VALUES or len(place) > _MOST_DEPTH:
            raise SettingsError(
                f"grows to more than {_MOST_VALUES} values or {_MOST_DEPTH} levels; write it without "
                "anchors (&, *)",
                line,
            )
        self.lines[place] = line
        kind = str(node.tag).removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.build(each, (*place, i)) for i, each in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            return _scalar(kind, node.value, line)
        raise SettingsError(f"the tag {node.tag!r:.60} is not for settings; write plain values", line)

    def _mapping(self, node: Any, place: Place) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) and key.tag == _TAG + "str" else None
            if name is None:
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or a mapping"
                raise SettingsError(f"the name of a setting is text; got {shown!r:.60}", _line(key))
            _scalar("str", name, _line(key))
            if name == "<<":
                raise SettingsError("merge keys (<<) are not for settings; write the values out", _line(key))
            if name in built:
                first = self.lines[(*place, name)]
                raise SettingsError(
                    f"{name!r:.60} is there twice, first on line {first}; keep one", _line(key)
                )
            built[name] = self.build(value, (*place, name))
            self.lines[(*place, name)] = _line(key)
        return built


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.lower()]


def _integer(text: str) -> int:
    return int(text.replace("_", ""))


def _float(text: str) -> float:
    return float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text.replace("_", "").lower()))


_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "timestamp": str,
    "null": lambda text: None,
    "bool": _boolean,
    "int": _integer,
    "float": _float,
}


def _scalar(kind: str, text: str, line: int) -> Any:
    try:
        text.encode()
        return _SCALARS[kind](text)
    except UnicodeEncodeError as error:
        raise SettingsError(
            "holds half a surrogate pair, which is not valid Unicode; remove it", line
        ) from error
    except (KeyError, ValueError) as error:
        raise SettingsError(f"{text[:40]!r} is not a {kind}; write the value without a tag", line) from error
