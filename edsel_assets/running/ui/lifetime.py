"""Runs a module as ``python -m`` does, and ends when the process that started it has ended, even by kill -9.

Its standard input is a pipe that nobody writes to, so that it is at its end when the other side is gone.
"""

import os
import runpy
import signal
import sys
import threading
import time

PATIENCE = 3.0  # seconds from the signal to the kill


def main() -> None:
    _, module, *words = sys.argv
    sys.argv = [module, *words]
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_the_pipe() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE)
    os.killpg(os.getpid(), signal.SIGKILL)  # its children too: a service leads its own group


if __name__ == "__main__":
    main()
