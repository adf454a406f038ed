"""Opening one file: on disk, in an object store or over HTTP, packed or not."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa

from edsel_assets.pools.errors import PoolError
from edsel_assets.pools.files import Opened, first_line, is_http, without_query


@contextlib.contextmanager
def opened_bytes(opened: Opened) -> Iterator[IO[bytes]]:
    """The bytes of a file as they lie there, readable from any position."""
    if is_http(opened.path):
        yield io.BytesIO(_downloaded(opened))
    else:
        with opened.fs.open(opened.path, "rb") as file:
            yield file


@contextlib.contextmanager
def opened_text(opened: Opened) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked by its suffix.

    Raises:
        PoolError: the file is packed, and damaged.
    """
    suffix = without_query(opened.path).rpartition(".")[2].lower()
    with opened_bytes(opened) as file:
        if suffix != "zst":
            with _unpacked(file, suffix) as text:
                yield text
            return
        try:  # by Arrow, which is there in any case
            yield io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"))
        except OSError as error:
            raise PoolError(
                f"{opened.name} is not a whole zstd file ({first_line(error)}). Copy or pack it again."
            ) from error


def _unpacked(file: IO[bytes], suffix: str) -> Any:
    import bz2
    import gzip
    import lzma

    readers = {"gz": gzip.GzipFile, "bz2": bz2.BZ2File, "xz": lzma.LZMAFile}
    if suffix not in readers:
        return contextlib.nullcontext(file)
    if suffix == "gz":
        return gzip.GzipFile(fileobj=file)
    return readers[suffix](file)


def _downloaded(opened: Opened) -> bytes:
    """The whole file: not every server gives a part of one."""
    try:
        return bytes(opened.fs.cat_file(opened.path))
    except Exception as error:  # the HTTP library raises many kinds of its own
        raise PoolError(
            f"Cannot read {opened.name}: {first_line(error)}. Check the address and the connection."
        ) from error
