"""From a study's file to its settings: found, read, filled from the environment, checked.

Everything that can be wrong with the file is one ``StudyError`` of one line, which names the file,
the line, the setting and the remedy, and never repeats a secret.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from edsel_assets.study.secrets import refuse_secrets
from edsel_assets.study.yaml_text import MOST_BYTES, Place, SettingsError, dotted, parse

Model = TypeVar("Model", bound=BaseModel)
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
#: The setting that names the shipped study whose settings a file begins with.
_EXTENDS = re.compile(r"^extends:[ \t]*(\w+)", re.MULTILINE)
_SHOWN = 5
_QUOTED = 80  # characters of a value that a message quotes
#: What pydantic says of a wrong type, in words for who wrote the file.
_RULES = {
    "model_type": "should be a section of settings (name: value)",
    "dict_type": "should be a mapping (name: value)",
    "list_type": "should be a list",
    "string_type": "should be text (put it in quotes)",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
}
_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "should be letters, digits, '_', '.', '-', with a letter or digit first",
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$": "should be letters, digits, '_' and '-', with a letter or digit first",
    r"^(auto|cpu|mps|(cuda|xpu)(:[0-9]+)?)$": "should be auto, cpu, mps, cuda or cuda:NUMBER",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "should be letters, digits and '_', with no digit first",
}

#: Settings of earlier versions, and what to do about them.
GONE = {
    "evaluation.win_rate_prompts": "is gone: set evaluation.held_out",
    "finetuning.packing": "is gone: batches hold examples of like length, with the same result; leave it out",
}


class StudyError(ValueError):
    """A study that cannot be used: which rule, which value, what to do."""


def load_study(
    model: type[Model], name_or_path: str | Path, shipped: Path, variables: Mapping[str, str] | None = None
) -> Model:
    """The study of that name in the folder ``shipped``, or in that YAML file, as a ``model``.

    Args:
        variables: the environment; the process's own by default.

    Raises:
        StudyError: no such study, not YAML, an unknown setting, a value out of range, a secret.
    """
    path = _find(name_or_path, shipped)
    try:
        text = _expand(_decoded(_bytes(path)), os.environ if variables is None else variables)
        content, lines = parse(text)
        _check_top(content, model)
        refuse_secrets(content, lines)
        content = _with_base(content, lines, shipped, os.environ if variables is None else variables)
    except SettingsError as error:
        line = f", line {error.line}" if error.line else ""
        raise StudyError(_one_line(f"{path}{line}: {error}.")) from None  # its cause may quote the file
    try:
        study = model.model_validate(_booleans_as_text(content))
    except ValidationError as error:
        reasons = _complaints(error, model, content, lines)
        raise StudyError(_one_line(f"{path}: " + "; ".join(reasons))) from None
    odd = _odd_values(content, study.model_dump(), ())
    reasons = [_with_line(reason, lines, place) for place, reason in odd]
    if reasons:
        raise StudyError(_one_line(f"{path}: " + "; ".join(_first(reasons))))
    return study


def unset_variables(name_or_path: str | Path, shipped: Path) -> list[str]:
    """Environment variables that a study's file needs, which are not set.

    Raises:
        StudyError: no such study, or a file that is no text.
    """
    path = _find(name_or_path, shipped)
    try:
        text = _decoded(_bytes(path))
        base = _EXTENDS.search(text)
        if base and (shipped / f"{base[1]}.yaml").is_file():
            text += _decoded(_bytes(shipped / f"{base[1]}.yaml"))
    except SettingsError as error:
        raise StudyError(_one_line(f"{path}: {error}.")) from None
    used = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    needed = [match[1] for line in used for match in _VARIABLE.finditer(line) if match[2] is None]
    return [name for name in dict.fromkeys(needed) if name not in os.environ]


def _with_base(
    content: dict[str, Any], lines: dict[Place, int], shipped: Path, variables: Mapping[str, str]
) -> dict[str, Any]:
    """``content`` over the settings of the shipped study that it extends, if it extends one."""
    if "extends" not in content:
        return content
    name, names = content["extends"], sorted(path.stem for path in shipped.glob("*.yaml"))
    if name not in names:
        reason = f"extends: should be one of the shipped studies {', '.join(names)}; got {_limited(name)}"
        raise SettingsError(reason, lines.get(("extends",)))
    base, _ = parse(_expand(_decoded(_bytes(shipped / f"{name}.yaml")), variables))
    own = {setting: value for setting, value in content.items() if setting != "extends"}
    return _over(base, own)


def _over(base: Any, own: Any) -> Any:
    """``own`` settings in the place of those of ``base``; null in the place of a section leaves it out."""
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    gone = {name for name, value in own.items() if value is None and isinstance(base.get(name), dict)}
    joined = {name: _over(base.get(name), value) for name, value in own.items()}
    return {name: value for name, value in {**base, **joined}.items() if name not in gone}


def _find(name_or_path: str | Path, shipped: Path) -> Path:
    names = sorted(path.stem for path in shipped.glob("*.yaml"))
    given = str(name_or_path)
    if given in names:
        return shipped / f"{given}.yaml"
    try:
        if Path(given).is_file():
            return Path(given)
        place = "it is a folder; " if Path(given).is_dir() else ""
    except (OSError, ValueError):
        place = "it is not a path; "
    raise StudyError(
        _one_line(
            f"No study {given!r:.200}: {place}give a YAML file or one of {', '.join(names)}"
            + (_meant(given, names) or ".")
        )
    )


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"cannot be read ({error.strerror}); check its permissions") from error
    if len(data) > MOST_BYTES:
        raise SettingsError(f"larger than {MOST_BYTES // 1000} kB, which no study is; check the path")
    return data


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:64]:
        raise SettingsError("is UTF-16 text or no text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"is not UTF-8 text (byte 0x{data[error.start]:02x}); save it as UTF-8"
        raise SettingsError(reason, line) from error


def _expand(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with ${VARIABLE} replaced outside comments; a missing one without default is an error."""

    lines = text.split("\n")
    for i, line in enumerate(lines):

        def value(match: re.Match[str], number: int = i + 1) -> str:
            found = variables.get(match[1], match[2])
            if found is None:
                reason = f"needs the environment variable {match[1]}; set it and run again"
                raise SettingsError(reason, number)
            return found

        if not line.lstrip().startswith("#"):
            lines[i] = _VARIABLE.sub(value, line)
    return "\n".join(lines)


def _check_top(content: Any, model: type[BaseModel]) -> None:
    needed = ", ".join(name for name, field in model.model_fields.items() if field.is_required())
    if content is None:
        raise SettingsError(f"is empty; a study has at least the settings {needed}")
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else f"one value, {reprlib.repr(content)}"
        raise SettingsError(f"a study is a mapping of settings (name: value); got {kind}; it needs {needed}")


def _complaints(
    error: ValidationError, model: type[BaseModel], content: Any, lines: dict[Place, int]
) -> list[str]:
    """One clause for each wrong setting: where, what is wrong, what was given, what was meant."""
    problems: dict[Place, list[Any]] = {}
    for problem in error.errors(include_url=False):
        problems.setdefault(_given_place(problem["loc"], content, problem["type"]), []).append(problem)
    clauses = [(place, _clause(place, each, model, _at(content, place))) for place, each in problems.items()]
    return _first([_with_line(clause, lines, place) for place, clause in clauses])


def _clause(place: Place, problems: list[Any], model: type[BaseModel], given: Any) -> str:
    where, first = dotted(place) or "study", problems[0]
    if first["type"] == "extra_forbidden":
        if where in GONE:
            return f"{where}: {GONE[where]}"
        names = _names(model, place[:-1])
        there = f"; there are {', '.join(names)}" if names else ""
        return f"{where}: no such setting (check the spelling)" + (_meant(str(place[-1]), names) or there)
    if first["type"] == "missing":
        return f"{where}: is required"
    if isinstance(given, bool):
        return f"{where}: takes neither true nor false, got {str(given).lower()} (put text in quotes)"
    if isinstance(given, float) and not math.isfinite(given):
        return f"{where}: should be a finite number; got {given}"
    rules = " or ".join(dict.fromkeys(_rule(each) for each in problems))
    clause = f"{where}: {rules}"
    if place:
        clause += f" (got {_limited(given)})"
    expected = " ".join(str(each.get("ctx", {}).get("expected")) for each in problems)
    choices = re.findall(r"'([^']*)'", expected)
    return clause + (_meant(given, choices) if isinstance(given, str) else "")


def _rule(problem: Any) -> str:
    limits, given = problem.get("ctx", {}), problem["input"]
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if isinstance(given, str) and len(given) > _QUOTED:
        message = message.replace(repr(given), _limited(given))  # a validator quotes what it was given whole
    if problem["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(limits["pattern"], message)
    if problem["type"] == "string_too_long":
        return f"should have at most {limits['max_length']} characters"
    if problem["type"] == "too_short":
        return f"should have at least {limits['min_length']}"
    return _RULES.get(problem["type"], message)


def _booleans_as_text(value: Any) -> Any:
    """``value`` with true and false as text, which switches take and numbers do not."""
    if isinstance(value, dict):
        return {name: _booleans_as_text(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_booleans_as_text(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else value


def _at(content: Any, place: Place) -> Any:
    for part in place:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def _given_place(location: tuple[str | int, ...], content: Any, kind: str) -> Place:
    """The part of pydantic's location that stands in the file; the rest names members of a union."""
    place: list[str | int] = []
    for part in location:
        inside = isinstance(content, dict) and part in content
        if not inside and not (isinstance(content, list) and isinstance(part, int) and part < len(content)):
            if kind == "missing":
                place.append(part)
            break
        place.append(part)
        content = content[part]
    return tuple(place)


def _names(model: type[BaseModel], place: Iterable[str | int]) -> list[str]:
    """The settings that there are at ``place``."""
    for part in place:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


def _odd_values(given: Any, taken: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """What pydantic let pass: text made of true or false, the reverse, and numbers that are not finite."""
    if isinstance(given, dict) and isinstance(taken, dict):
        for name in given:
            if name in taken:
                yield from _odd_values(given[name], taken[name], (*place, name))
    elif isinstance(given, list) and isinstance(taken, (list, tuple)) and len(given) == len(taken):
        for i, (each, kept) in enumerate(zip(given, taken, strict=True)):
            yield from _odd_values(each, kept, (*place, i))
    elif isinstance(given, bool) and not isinstance(taken, bool):
        yield (
            place,
            f"{dotted(place)}: takes neither true nor false, got {given} (put text in quotes)".lower(),
        )
    elif isinstance(taken, bool) and not isinstance(given, (bool, str)):
        yield place, f"{dotted(place)}: should be true or false; got {_limited(given)}"
    elif isinstance(taken, float) and not math.isfinite(taken):
        yield place, f"{dotted(place)}: should be a finite number; got {_limited(given)}"


def _first(reasons: list[str]) -> list[str]:
    more = len(reasons) - _SHOWN
    return reasons if more <= 0 else [*reasons[:_SHOWN], f"and {more} more"]


def _meant(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:100], list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _limited(value: Any) -> str:
    return reprlib.repr(value)[:_QUOTED]


def _with_line(reason: str, lines: dict[Place, int], place: Place) -> str:
    line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), None)
    return f"line {line}: {reason}" if line else reason


def _one_line(text: str) -> str:
    return " ".join(text.split())
