"""Runs a command and ends it, with all it started, when its own standard input closes or it is told to end (SIGTERM).

`python watchdog.py COMMAND ...`: whoever starts it holds the other end of the pipe, so the command does not outlive
him, however he ends (SIGKILL too). PR_SET_PDEATHSIG would reach the command only, not the processes it started, and
only on Linux. Needs nothing but the standard library, so it starts at once.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 10.0


def main() -> int:
    try:
        command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{sys.argv[1]}: {error.strerror}", flush=True)
        return 127
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=_end, args=[command.pid], daemon=True).start())
    threading.Thread(target=_end_with_starter, args=[command.pid], daemon=True).start()
    status = command.wait()
    _signal(command.pid, signal.SIGKILL)  # what it left behind
    return status if status >= 0 else 128 - status


def _end_with_starter(group: int) -> None:
    # Not sys.stdin: a thread that waits there keeps the interpreter from ending.
    os.read(sys.stdin.fileno(), 1)
    _end(group)


def _end(group: int) -> None:
    _signal(group, signal.SIGTERM)
    time.sleep(GRACE_S)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
