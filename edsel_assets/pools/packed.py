"""Packed files, within bounds, and files that stand in for the data that somebody meant."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa

from edsel_assets.pools.source import PoolError

#: What a packed file begins with, by suffix.
SIGNATURES = {
    "gz": b"\x1f\x8b",
    "bz2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "zst": b"\x28\xb5\x2f\xfd",
    "zip": b"PK",
}
_TOOLS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd", "zip": "zip"}
#: Unpacked, a file is at most so many times as large as it is packed, once it is larger than ``FREE`` bytes,
#: and never larger than ``MOST``. Text packs to a tenth, text that repeats itself to a fiftieth.
RATIO, FREE, MOST = 200, 64 << 20, 64 << 30
_DAMAGE = (
    OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError,
    RuntimeError, pa.ArrowException,
)  # fmt: skip
_HEAD = 512
_POINTERS = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer, not the data. Fetch it by git lfs pull",
    b"/annex/objects/": "a git-annex pointer, not the data. Fetch it by git annex get",
    b"../.git/annex/objects/": "a git-annex pointer, not the data. Fetch it by git annex get",
}
_PAGES = (b"<!doctype", b"<html", b"<?xml")


def refuse_stand_in(file: IO[bytes], name: str) -> None:
    """Refuse a pointer of Git LFS and a web page that was saved as data; the position of ``file`` stays.

    Raises:
        PoolError: with the remedy.
    """
    head = file.read(_HEAD)
    file.seek(0)
    for mark, what in _POINTERS.items():
        if head.startswith(mark):
            raise PoolError(f"{name} is {what}.")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_PAGES):
        raise PoolError(
            f"{name} is a web page, not data. Download the file itself (on the hub, its address has "
            "/resolve/, not /blob/)."
        )


def packing(file: IO[bytes], suffix: str) -> str | None:
    """How a file is packed: by its suffix, else by what it begins with; None where it is not."""
    head = file.read(8)
    file.seek(0)
    if suffix in SIGNATURES:
        return suffix
    return next((kind for kind, mark in SIGNATURES.items() if kind != "zip" and head.startswith(mark)), None)


def unpacked(file: IO[bytes], kind: str, name: str, member: str = "") -> IO[bytes]:
    """The content of a packed file, read as it is needed.

    Raises:
        PoolError: now or as it is read: the file is damaged, or unpacks to more than the bounds allow.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        source = _reader(file, kind, member)
    except _DAMAGE as error:
        raise _damaged(name, kind, error) from error
    return io.BufferedReader(_Bounded(source, kind, name, size), 1 << 16)


def members(file: IO[bytes], name: str) -> list[str]:
    """Names of the files in a zip archive, without those that begin with a dot or an underscore."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [each.filename for each in archive.infolist() if not each.is_dir()]
    except _DAMAGE as error:
        raise _damaged(name, "zip", error) from error
    return [each for each in names if not any(p.startswith((".", "_")) for p in PurePosixPath(each).parts)]


def _reader(file: IO[bytes], kind: str, member: str) -> Any:
    if kind == "gz":
        return gzip.GzipFile(fileobj=file)
    if kind == "bz2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return lzma.LZMAFile(file)
    if kind == "zip":
        return zipfile.ZipFile(file).open(member)
    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")  # by Arrow, which is there anyway


def _damaged(name: str, kind: str, error: BaseException) -> PoolError:
    lines = str(error).strip().splitlines()
    reason = lines[0].rstrip(". ") if lines else type(error).__name__
    return PoolError(f"{name} is not a whole {_TOOLS[kind]} file ({reason}). Copy or pack it again.")


class _Bounded(io.RawIOBase):
    """What ``source`` gives, as long as it is whole and within the bounds."""

    def __init__(self, source: Any, kind: str, name: str, size: int) -> None:
        self._source, self._kind, self._name, self._size = source, kind, name, size
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._source.read(len(buffer))
        except _DAMAGE as error:
            raise _damaged(self._name, self._kind, error) from error
        buffer[: len(data)] = data
        self._given += len(data)
        if self._given > min(MOST, max(FREE, RATIO * self._size)):
            raise PoolError(
                f"{self._name} unpacks to more than {self._given - len(data)} bytes, over {RATIO} times its "
                "size. Text does not pack so well; if the file is right, unpack it yourself."
            )
        return len(data)
