"""Which system calls a program in the sandbox may not make: a filter for the kernel's seccomp.

A list of what is forbidden, not of what is allowed: the program is Python, whose needs change from version to
version, and a call that it lacks would make good programs fail. What is forbidden is:

- memory that no limit counts: anonymous files, pages pinned in pipes, shared memory and queues;
- sockets but those of AF_UNIX: some families, such as AF_VSOCK, are in no network namespace;
- ways around the walls: namespaces, mounts, other processes' memory, file handles, keys;
- large parts of the kernel that no such program needs: io_uring, bpf, userfaultfd, perf, modules.

Calls newer than ``NEWEST`` and those of another architecture's numbering are unknown here, and forbidden too.
"""

from __future__ import annotations

import errno
import platform
import struct

#: The last call that was looked at, mseal of Linux 6.10. Numbers from 424 are the same on all architectures.
NEWEST = 462
AF_UNIX = 1
F_SETPIPE_SZ = 1031
NEW_NAMESPACES = 0x7E020000  # of clone: mounts, control groups, host, IPC, user, processes, network

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*
_SOCKET, _SOCKETPAIR, _CLONE, _FCNTL = (41, 198), (53, 199), (56, 220), (72, 25)

#: Numbers on (x86_64, aarch64); None where there is no such call.
FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # memory
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "vmsplice": (278, 75),
    "tee": (276, 77),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # namespaces, mounts and what lies behind them
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    # other processes, and keys
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # the kernel and the machine
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "personality": (135, 92),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
}
#: Without it, as on an old kernel, libraries call clone, whose flags a filter can see.
_CLONE3 = 435

_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06  # classic BPF
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in seccomp_data; arguments' lower halves
_KILL, _ALLOW, _ERROR = 0x80000000, 0x7FFF0000, 0x00050000


def system_call_filter(machine: str | None = None) -> bytes:
    """The filter for a kind of machine, this one's without ``machine``: an array of ``struct sock_filter``.

    A forbidden call fails with EPERM, a socket of another family with EAFNOSUPPORT, an unknown call with
    ENOSYS.

    Raises:
        ValueError: the numbers of the machine's calls are not known here.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        known = " and ".join(_ARCHITECTURES)
        raise ValueError(f"there is a filter of system calls for {known} alone; this is {machine}")
    column = list(_ARCHITECTURES).index(machine)
    allow, forbid = (_RETURN, 0, 0, _ALLOW), _failing(errno.EPERM)
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_GREATER, 0, 1, NEWEST),
        _failing(errno.ENOSYS),
        (_EQUAL, 0, 1, _CLONE3),
        _failing(errno.ENOSYS),
    ]
    for numbers in FORBIDDEN.values():
        if (number := numbers[column]) is not None:
            code += [(_EQUAL, 0, 1, number), forbid]
    for call in (_SOCKET, _SOCKETPAIR):
        own = (_EQUAL, 1, 0, AF_UNIX)
        code += [
            (_EQUAL, 0, 4, call[column]),
            (_LOAD, 0, 0, _FIRST),
            own,
            _failing(errno.EAFNOSUPPORT),
            allow,
        ]
    spaces = (_ANY_BIT, 0, 1, NEW_NAMESPACES)
    code += [(_EQUAL, 0, 4, _CLONE[column]), (_LOAD, 0, 0, _FIRST), spaces, forbid, allow]
    larger = (_EQUAL, 0, 1, F_SETPIPE_SZ)
    code += [(_EQUAL, 0, 4, _FCNTL[column]), (_LOAD, 0, 0, _SECOND), larger, forbid, allow]
    return b"".join(struct.pack("=HBBI", *each) for each in [*code, allow])


def _failing(error: int) -> tuple[int, int, int, int]:
    return _RETURN, 0, 0, _ERROR | error
