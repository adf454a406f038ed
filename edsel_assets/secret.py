"""Keys of servers: which variable of the environment holds one, and a type that shows nothing of it."""

from __future__ import annotations

import os
from typing import NoReturn

#: The variable of a service's key, where no other is named.
SERVICES = {"openai": "OPENAI_API_KEY", "cohere": "COHERE_API_KEY"}


class SecretError(ValueError):
    """A key is missing or cannot be sent; the message is one line and names its variable alone."""


class Secret:
    """A text that is not shown: ``str``, ``repr`` and formatting give ``***``, and it cannot be pickled.

    Args:
        value: not empty.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("a secret must not be empty.")
        self._value = value

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._value

    def hide(self, text: str) -> str:
        """``text`` with ``***`` in place of the secret; to be called before a text is cut."""
        return text.replace(self._value, "***")

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down.")


def variable_of(service: str, base_url: str | None, named: str | None) -> str | None:
    """The variable that holds the key of a server; None for a server that gets no key.

    A service's own key goes to its own server alone: where ``base_url`` is given, only ``named`` counts.

    Args:
        service: whose protocol the server speaks, such as ``openai``.
        base_url: of the server; None for the service's own.
        named: the variable that the settings name.
    """
    if named is not None or base_url is not None:
        return named
    return SERVICES.get(service)


def server_key(service: str, base_url: str | None, named: str | None) -> Secret | None:
    """The key to send to a server, from the environment; None where ``variable_of`` names no variable.

    Raises:
        SecretError: the variable is not set, or its text cannot be part of a request's header.
    """
    variable = variable_of(service, base_url, named)
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value:
        raise SecretError(f"the key of the {service} endpoint is missing: set {variable} in the environment.")
    if not (value.isascii() and value.isprintable()):
        # The HTTP libraries would refuse it in words that repeat it.
        raise SecretError(f"the key in {variable} holds a line break or a letter that is not ASCII. Mend it.")
    return Secret(value)
