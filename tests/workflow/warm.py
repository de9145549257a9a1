"""A `python` with the imports of stages behind it: a job of a tiny study costs what it does, not five seconds of start.

It hands its words, folder, environment and open files to a process that has imported torch and other packages, but
nothing of ours, and forks for each. Signals do not pass, so what tests kill is started as users start it; so is what
they time, and the default study. Run as a program, this file is that process (`serve`) or the one that asks it.
"""

import json
import os
import socket
import sys
from functools import cache

# What stages and Snakemake import late, with what transformers imports only when it is used.
IMPORTED = (
    "snakemake.cli",
    "snakemake.executors.local",
    "matplotlib.pyplot",
    "scipy.stats",
    "scipy.optimize",
    "openai",
)
IMPORTED += ("peft", "safetensors.torch", "transformers.trainer", "transformers.generation.utils")
IMPORTED += tuple(f"transformers.models.{name}" for name in ("auto.modeling_auto", "llama.modeling_llama"))


@cache
def warm_python() -> str:
    """Path of the program, for this process and while it lives."""
    import atexit
    import subprocess
    import tempfile
    from pathlib import Path

    folder = tempfile.TemporaryDirectory(prefix="warm-")
    atexit.register(folder.cleanup)
    python, address = Path(folder.name, "python"), f"{folder.name}/socket"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S {__file__} {address} {python} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, __file__, "serve", address], env=environment, **pipes)
    atexit.register(process.communicate)  # its standard input ends with this process anyway
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError("the process behind the tests' python did not start")
    return str(python)


def ask(address: str, words: list[str]) -> int:
    """Have words run with this process's folder, environment and open files. Returns the exit status."""
    told = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        socket.send_fds(line, [len(told).to_bytes(4, "big")], [0, 1, 2])
        line.sendall(told)
        return int(line.recv(16) or 1) % 256


def serve(address: str) -> None:
    """Import, then fork for every asker until standard input ends."""
    import gc
    import importlib
    import logging
    import select

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # of a package that is missing, and not needed
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # or every fork's garbage collector would copy all the memory that they share
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            line, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                return answer(line)
            line.close()
            while os.waitpid(-1, os.WNOHANG)[0]:  # there is always one: this asker's
                pass


def answer(line: socket.socket) -> None:
    """Run what an asker wants in a process of its own, and tell the asker how that ended."""
    size, opened, *_ = socket.recv_fds(line, 4, 3)
    with line.makefile("rb") as rest:
        words, folder, environment = json.loads(rest.read(int.from_bytes(size, "big")))
    running = os.fork()
    if running:
        status = os.waitstatus_to_exitcode(os.waitpid(running, 0)[1])
        line.sendall(str(status).encode())
        os._exit(0)
    line.close()
    for number, descriptor in enumerate(opened):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    become(words)


def become(words: list[str]) -> None:
    """Be `python -m MODULE ...` and end; any other Python is started anew."""
    import atexit
    import runpy

    python, *arguments = words
    if arguments[:1] != ["-m"]:
        os.execv(sys.executable, [sys.executable, *arguments])
    if arguments[1] == "snakemake":
        sys.executable = python  # its stages' too; what those start is started anew, as it may be killed
    sys.path[0:1] = [os.getcwd(), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = arguments[1:]
    status = 0
    try:
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code or 0
        if not isinstance(status, int):
            status = print(status, file=sys.stderr) or 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # to take all modules apart would copy that memory too


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
