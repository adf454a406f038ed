"""Opening one file: on disk, in an object store or over HTTP, packed or not."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import IO, Any

from edsel_assets.pools.errors import PoolError
from edsel_assets.pools.files import Opened, first_line, is_http, without_query
from edsel_assets.pools.packed import packing, refuse_stand_in, unpacked


@contextlib.contextmanager
def opened_bytes(opened: Opened) -> Iterator[IO[bytes]]:
    """The bytes of a file as they lie there, readable from any position; of a member of an archive, unpacked.

    Raises:
        PoolError: the file stands in for another, or the archive is damaged.
    """
    with _raw(opened) as file:
        if not opened.member:
            refuse_stand_in(file, opened.name)
            yield file
        else:
            yield io.BytesIO(unpacked(file, "zip", opened.name, opened.member).read())


@contextlib.contextmanager
def opened_text(opened: Opened) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked by its suffix, or where it begins as a packed one.

    Raises:
        PoolError: the file stands in for another; it is packed, and damaged or too large (``packed``).
    """
    inner = opened.member or without_query(opened.path)
    suffix = inner.rpartition(".")[2].lower()
    with opened_bytes(opened) as file:
        kind = packing(file, suffix)
        if kind is None:
            yield file
            return
        with unpacked(file, kind, opened.name) as text:
            yield text


def _raw(opened: Opened) -> Any:
    if is_http(opened.path):
        return contextlib.nullcontext(io.BytesIO(_downloaded(opened)))
    return opened.fs.open(opened.path, "rb")


def _downloaded(opened: Opened) -> bytes:
    """The whole file: not every server gives a part of one."""
    try:
        return bytes(opened.fs.cat_file(opened.path))
    except Exception as error:  # the HTTP library raises many kinds of its own
        raise PoolError(
            f"Cannot read {opened.name}: {first_line(error)}. Check the address and the connection."
        ) from error
