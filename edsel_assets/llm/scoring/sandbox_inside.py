"""The inner side of the sandbox, run as a script of its own: builds the walls, then runs the program.

Three processes. The outermost leaves the parent's namespaces. Its child is process 1 of the new process
namespace, where it builds a file system of read-only system folders; when it ends, the kernel kills all that
is left inside. Its child loses every right, takes on the limits and the filter of system calls, and becomes
the program. What any of them cannot do ends all, with the reason on the report pipe. Only the standard
library is imported.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import stat
import sys

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PROCESSES, NEW_NETWORK, NEW_HOST = (
    0x00020000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
    0x04000000,
)
READ_ONLY, NO_SETUID, NO_DEVICES, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
DETACH, AT_RECURSIVE, AT_HERE = 2, 0x8000, -100
MOUNT_SETATTR = 442  # one number on all architectures
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER, FILTER_STEP = 2, 8  # bytes of one step
NOBODY = 65534
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
libc.syscall.restype = ctypes.c_long

RUNNER = """
import os, sys
with open(0, encoding="utf-8", closefd=False) as file:
    text = file.read()
null = os.open("/dev/null", os.O_RDONLY)
os.dup2(null, 0)
os.close(null)
exec(compile(text, "program.py", "exec"), {"__name__": "__main__"})
sys.stdout.flush()
os._exit(int(sys.argv[1]))
"""
"""Only a program that runs to its last line ends with the secret status: an early exit(0) does not."""


class Refused(Exception):
    """A wall that could not be built."""


def call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise Refused(f"{what} is not allowed here ({errno.errorcode.get(number, number)})")


def unshare(flags: int, what: str) -> None:
    call(what, libc.unshare(flags))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    done = libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode())
    call(f"mounting {target}", done)


def freeze(target: str, recursive: bool) -> None:
    """Make a mount, and those below it, read-only and without set-user-id programs."""
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY | NO_SETUID, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    done = libc.syscall(
        MOUNT_SETATTR, AT_HERE, target.encode(), flags, ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    call(f"making {target} read-only", done)


def write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise Refused(f"writing {path} is not allowed here ({error.strerror})") from None


def is_mapped(user: int) -> bool:
    with open("/proc/self/uid_map") as file:
        ranges = [[int(part) for part in line.split()] for line in file]
    return any(first <= user < first + count for first, _, count in ranges)


def leave() -> bool:
    """Leave the parent's namespaces; whether that was done with an administrator's rights."""
    administrator = os.geteuid() == 0 and is_mapped(NOBODY)
    user, group = os.geteuid(), os.getegid()
    own = 0 if administrator else NEW_USER
    unshare(
        own | NEW_MOUNTS | NEW_PROCESSES | NEW_NETWORK | NEW_IPC | NEW_HOST, "leaving the parent's namespaces"
    )
    if not administrator:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"0 {user} 1")
        write("/proc/self/gid_map", f"0 {group} 1")
    # They would hold memory that no limit of a process counts.
    for name, none in {"shmmni": "0", "msgmni": "0", "sem": "0 0 0 0"}.items():
        write(f"/proc/sys/kernel/{name}", none)
    return administrator


def build(root: str, folders: list[str], size: int, files: int, user: int) -> None:
    """A new root with ``folders`` read-only and /box to write in; the old root is gone afterwards."""
    mount("none", "/", "none", RECURSIVE | PRIVATE)
    mount("tmpfs", root, "tmpfs", NO_SETUID | NO_DEVICES, "size=1m,mode=755")
    jail = f"{root}/jail"
    for path in [*folders, *DEVICES, "/etc/ld.so.cache"]:
        place(path, jail + path)
    os.makedirs(f"{jail}/box")
    mount("tmpfs", f"{jail}/box", "tmpfs", NO_SETUID | NO_DEVICES, f"size={size},nr_inodes={files},mode=700")
    os.chown(f"{jail}/box", user, -1)
    freeze(root, False)
    os.chdir(root)
    call("changing the root", libc.pivot_root(b".", b"."))
    call("letting go of the old root", libc.umount2(b".", DETACH))
    os.chdir("/")


def place(path: str, target: str) -> None:
    """``path`` of the old root at ``target``: a link as a link, else by a read-only mount."""
    if not os.path.lexists(path) or os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    kind = os.lstat(path).st_mode
    if stat.S_ISLNK(kind):
        os.symlink(os.readlink(path), target)
        return
    if stat.S_ISDIR(kind):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(path, target, "none", BIND | RECURSIVE)
    freeze(target, True)


def drop(administrator: bool) -> None:
    """An administrator becomes nobody; no process regains a right by what it executes."""
    if administrator:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    call("giving up new rights", libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def limit(limits: dict) -> None:
    """The limits of one process. How many there may be is tried, as the kernel spares its own root."""
    exact = {
        resource.RLIMIT_AS: limits["memory"],
        resource.RLIMIT_FSIZE: limits["file_size"],
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    try:
        for kind, value in exact.items():
            resource.setrlimit(kind, (value, value))
        resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu"], limits["cpu"] + 1))
        resource.setrlimit(resource.RLIMIT_NPROC, (1, limits["processes"]))
    except (ValueError, OSError) as error:
        raise Refused(f"a limit of {limits} cannot be set ({error})") from None
    try:
        child = os.fork()
    except BlockingIOError:
        resource.setrlimit(resource.RLIMIT_NPROC, (limits["processes"], limits["processes"]))
        return
    if child == 0:
        os._exit(0)
    raise Refused("the limit on processes has no effect for this user")


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def forbid(steps: bytes) -> None:
    """From here on, the system calls that the filter forbids fail, also after an execve."""
    found = Filter(len(steps) // FILTER_STEP, steps)
    done = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(found), 0, 0)
    call("a filter of system calls", done)


def end_with_parent() -> None:
    """To be called again after each change of user, which undoes it."""
    call("ending with the parent", libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def become_program(order: dict) -> None:
    os.setsid()
    # A namespace of its own counts its processes alone; in a changed root no further one can be made.
    unshare(NEW_USER, "a user namespace for the program")
    os.chroot("/jail")
    os.chdir("/box")
    limit(order["limits"])
    forbid(bytes.fromhex(order["filter"]))
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/box", "TMPDIR": "/box", "LANG": "C.UTF-8"}
    arguments = [order["python"], "-I", "-B", "-c", RUNNER, str(order["done"])]
    os.execve(order["python"], arguments, environment | {"OMP_NUM_THREADS": "1"})


def tell(report: int, **said: object) -> None:
    os.write(report, (json.dumps(said) + "\n").encode())


def refuse(report: int, error: BaseException) -> None:
    tell(report, refused=f"{error}")
    os._exit(1)


def supervise(order: dict, report: int, administrator: bool) -> None:
    """Process 1: build the walls, start the program, wait for it and report how it ended."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # process 1 is deaf to what it has no handler for
        limits = order["limits"]
        user = NOBODY if administrator else -1
        build(order["root"], order["folders"], limits["disk"], limits["files"], user)
        drop(administrator)
        call("hiding the supervisor", libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        end_with_parent()
        program = os.fork()
    except (Refused, OSError) as error:
        refuse(report, error)
    if program == 0:
        try:
            become_program(order)
        except (Refused, OSError) as error:
            refuse(report, error)
    while True:
        ended, status = os.wait()
        if ended == program:
            break
    tell(report, status=os.waitstatus_to_exitcode(status))
    os._exit(0)


def main() -> None:
    order = json.loads(sys.argv[1])
    report = order["report"]
    os.set_inheritable(report, False)
    try:
        administrator = leave()
        end_with_parent()
        first = os.fork()
    except (Refused, OSError) as error:
        refuse(report, error)
    if first == 0:
        supervise(order, report, administrator)
    os.waitpid(first, 0)


if __name__ == "__main__":
    main()
