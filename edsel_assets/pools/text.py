"""Text in normal form, its id, and the text of a value that a column holds."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from decimal import Decimal
from typing import Any

#: Numbers of at most so many digits are text; Python writes no longer ones.
_DIGITS = 4000


class UnusableRow(ValueError):
    """A row, or a part of one, that cannot be read as documented: it is left out and counted."""


def normalise(text: str) -> str:
    """The normal form of a prompt: Unicode NFC, lines ended by LF, no white space at the ends.

    White space inside is kept, as it carries meaning in code, tables and poems.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def prompt_id(prompt: str) -> str:
    """32 hex digits of the BLAKE2b-128 of the normalised prompt in UTF-8."""
    return hashlib.blake2b(normalise(prompt).encode(), digest_size=16).hexdigest()


def text_of(what: str, value: Any) -> str | None:
    """The text of ``value``; None where there is none.

    Numbers are text as JSON writes them: 4, 2.5, true. A number that is not one (NaN) stands for no value,
    as pandas writes it. Bytes are UTF-8.

    Raises:
        UnusableRow: the value is a list, an object or another thing; or text that is not valid Unicode.
    """
    if value is None or (isinstance(value, (float, Decimal)) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return unicode(what, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, Decimal)) or (isinstance(value, int) and abs(value) < 10**_DIGITS):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnusableRow(f"{what} is not valid UTF-8") from error
    raise UnusableRow(f"{what} should be text, but is {type(value).__name__} {shown(value, 60)}")


def is_unicode(text: str) -> bool:
    """Whether ``text`` is valid Unicode: holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unicode(what: str, text: str) -> str:
    """``text``; UnusableRow where it holds half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(text[error.start]):04x}"
        raise UnusableRow(
            f"{what} holds half a surrogate pair ({code}), which is not valid Unicode"
        ) from error
    return text


def shown(value: Any, length: int) -> str:
    """``value`` for a message, on one line, in at most ``length`` characters."""
    try:
        text = ascii(value) if isinstance(value, str) else repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes
        text = type(value).__name__
    text = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return text if len(text) <= length else f"{text[:length]}..."
