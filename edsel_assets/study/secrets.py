"""Keys and passwords have no place in a study: its settings are printed and stored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from edsel_assets.secret import SERVICES, variable_of
from edsel_assets.study.yaml_text import Place, SettingsError, dotted

#: ``user:password@`` after any ``//`` or ``::`` (fsspec chains addresses so), ``token@`` of a web server, and
#: parameters by the end of their names, as those of signed addresses (X-Goog-Signature, sig of Azure).
_URL_SECRET = re.compile(
    r"(?:^\s*|::)https?://[^/?#\s]*@"
    r"|(?://|::)[^/?#\s:@]*:(?:[^/?#\s:@]|:(?!:))*@"  # up to the next :: alone, so that time is linear
    r"|[?&;](?:sig|auth|[^?&;=\s]*(?:signature|token|key|secret|password|credential))=[^&;\s]",
    re.IGNORECASE,
)
#: How the keys of the usual services begin.
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-|sk_|rk_|pk_|hf_|gsk_|xai-|nvapi-|r8_|gh[opsu]_|github_pat_|glpat-|xox[abp]-|AKIA|ASIA|AIza)"
    r"([A-Za-z0-9_-]{16,})"
)
_VARIABLE_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


def refuse_secrets(content: Any, lines: dict[Place, int]) -> None:
    """Refuse a password in an address, a key, and a ``key_variable`` that is not the name of a variable.

    Raises:
        SettingsError: naming setting and line; the value is not repeated.
    """
    for place, text in _texts(content, ()):
        where, line = dotted(place), lines.get(place)
        if str(place[-1]).endswith("key_variable") and (_is_secret(text) or not _VARIABLE_NAME.match(text)):
            raise SettingsError(
                f"{where} is the name of an environment variable, such as OPENAI_API_KEY; what stands there "
                "is none, and may be the key itself. Put the key into a variable; renew it if others could "
                "read this file",
                line,
            )
        if _URL_SECRET.search(text):
            raise SettingsError(
                f"{where} is an address with a password or key in it. Write the address without it; keys "
                "go into an environment variable, named by key_variable",
                line,
            )
        if _is_key(text):
            raise SettingsError(
                f"{where} looks like a key. Put it into an environment variable and name it in key_variable",
                line,
            )


def variable_of_key(section: Any) -> str | None:
    """The environment variable that holds the key of a section's server; None where it gets none.

    Args:
        section: settings with ``base_url`` and ``key_variable``: of embeddings, a judge, or an annotator.
    """
    served = next((getattr(section, name) for name in ("source", "by", "kind") if hasattr(section, name)), "")
    if served not in SERVICES or getattr(section, "model", "") is None:
        return None
    return variable_of(served, section.base_url, section.key_variable)


def missing_key(section: Any) -> str | None:
    """The variable of ``variable_of_key`` where it is not set; None where nothing is missing."""
    variable = variable_of_key(section)
    return variable if variable and not os.environ.get(variable, "").strip() else None


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, (*place, name))
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from _texts(each, (*place, i))
    elif isinstance(value, str):
        yield place, value


def _is_secret(text: str) -> bool:
    """Whether a text is a key, or may be one: long, and of letters and digits as no person mixes them."""
    return _is_key(text) or any(_is_drawn(run) for run in re.findall("[A-Za-z0-9]{20,}", text))


def _is_key(text: str) -> bool:
    """Whether a text holds a key of a known beginning; names in small letters are none."""
    tails = _KEY.findall(text)
    return any(_is_drawn(run) for tail in tails for run in re.findall("[A-Za-z0-9]{14,}", tail))


def _is_drawn(run: str) -> bool:
    capitals, digits = re.search("[A-Z]", run), re.search("[0-9]", run)
    return bool((capitals and (digits or run != run.upper())) or (digits and re.search("[0-9a-f]{20,}", run)))
