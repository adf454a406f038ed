"""The filter of system calls, step by step as the kernel would, for each kind of machine."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from edsel_assets.llm.scoring.sandbox_filter import FORBIDDEN, NEWEST, system_call_filter

ALLOW, KILL = 0x7FFF0000, 0x80000000
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
#: read, write, openat, mmap, execve, exit_group, futex
NEEDED = {"x86_64": (0, 1, 257, 9, 59, 231, 202), "aarch64": (63, 64, 56, 222, 221, 94, 98)}
SOCKET = {"x86_64": 41, "aarch64": 198}
CLONE = {"x86_64": 56, "aarch64": 220}


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter says of a call; classic BPF on the fields of seccomp_data."""
    architecture = MACHINES[machine] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number, architecture, 0, *[*arguments, *[0] * (6 - len(arguments))])
    steps = list(struct.iter_unpack("=HBBI", system_call_filter(machine)))
    held = place = 0
    while True:
        code, yes, no, k = steps[place]
        place += 1
        if code == 0x20:
            held = struct.unpack_from("<I", data, k)[0]
        elif code == 0x06:
            return k
        else:
            true = {0x15: held == k, 0x25: held > k, 0x45: bool(held & k)}[code]
            place += yes if true else no


@pytest.mark.parametrize("machine", MACHINES)
def test_verdicts(machine: str) -> None:
    column = list(MACHINES).index(machine)
    failing = 0x50000
    for name, numbers in FORBIDDEN.items():
        if numbers[column] is not None:
            assert verdict(machine, numbers[column]) == failing | errno.EPERM, name
    assert {verdict(machine, number) for number in NEEDED[machine]} == {ALLOW}
    assert verdict(machine, SOCKET[machine], 1) == ALLOW
    families = {verdict(machine, SOCKET[machine], n) for n in (0, 2, 10, 40, 2**32 + 40)}
    assert families == {failing | errno.EAFNOSUPPORT}
    assert verdict(machine, CLONE[machine], 17) == ALLOW
    for bit in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, CLONE[machine], bit | 17) == failing | errno.EPERM
    for number in (435, NEWEST + 1, 0x40000000, 2**32 - 1):
        assert verdict(machine, number) == failing | errno.ENOSYS
    other = next(value for value in MACHINES.values() if value != MACHINES[machine])
    assert verdict(machine, 0, architecture=other) == KILL


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
)
def test_numbers_are_those_of_the_kernel_headers(column: int, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"there is no {header}")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    known = {name: int(number) for name, number in found}
    ours = {name: numbers[column] for name, numbers in FORBIDDEN.items() if name in known}
    assert len(ours) > 50
    assert ours == {name: known[name] for name in ours}


def test_another_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="this is s390x"):
        system_call_filter("s390x")
