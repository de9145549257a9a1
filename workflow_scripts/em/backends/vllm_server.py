"""A vLLM server of our own: started on loopback, waited for, and gone with the process that started it."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from workflow_scripts.em.engine_options import gpus_of
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.gpus import claim

HOST = "127.0.0.1"
# A large model from a slow disk, compiled for the first time.
START_S = 1800.0
MEMORY_HINT = (
    "a smaller memory share, model length or number of adapters (generation.engine: memory_share, max_model_len, "
    "adapters; of a judge: its arguments), or fewer other processes"
)
POLL_S, TAIL_LINES, ERROR_LINES = 0.5, 10, 4
KILLED = 128 + 9
_WATCHDOG = Path(__file__).with_name("watchdog.py")
# The model lies in a folder; nobody is told that it runs; its processes talk over loopback; and the working directory,
# which may hold a folder named like a package, is no place to import from. Keys are not the server's business.
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_HOST_IP": HOST, "PYTHONSAFEPATH": "1"}
_ENVIRONMENT |= {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
# Warnings and errors; a user who wants to see more says so.
_DEFAULTS = {"VLLM_LOGGING_LEVEL": "WARNING"}
_UNSET = "_API_KEY"
_ERROR = re.compile(r"\b\w*(Error|Exception): ")
_PORT_TAKEN = "address already in use"
_NO_MEMORY = (
    "out of memory",
    "OutOfMemory",
    "No available memory for the cache blocks",
    "larger than the available KV",
    "is less than desired",
    "can't allocate memory",
)


class ServerGone(Exception):
    """The server died or does not answer; starting it again may help."""


class VllmServer:
    """A running server: `url` ends in /v1. Made by `serving`."""

    def __init__(self, command: list[str], url: str):
        self.url = url
        environment = {name: value for name, value in os.environ.items() if not name.endswith(_UNSET)}
        environment = _DEFAULTS | environment | _ENVIRONMENT
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_WATCHDOG), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us; we end the server
        )
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """What the server says goes to our log; its last lines are kept for an error message."""
        for line in self._process.stdout:
            text = line.decode(errors="replace")
            self._tail.append(text)
            # The cause is far from the last lines: each of its processes adds a traceback of its own.
            if _of_memory(text) or (_ERROR.search(text) and len(self._errors) < ERROR_LINES):
                self._errors.append(text)
            sys.stderr.write(text)

    def check(self) -> None:
        """Raise ServerGone when the server has died, UserError when for want of memory."""
        status = self._process.poll()
        if status is not None:
            self._reader.join(1)
            if no_memory := list(filter(_of_memory, self._errors)):
                said = _indented(no_memory[:1])
                raise UserError(f"the vLLM server had too little memory:\n{said}\nTake {MEMORY_HINT}")
            text = f"the vLLM server ended with status {status}; its last lines:\n{_indented(self._tail)}\n"
            text += f"Its first errors:\n{_indented(self._errors)}\n" if self._errors else ""
            if status == KILLED:
                text += f"It was killed, maybe for want of the machine's memory; if so, take {MEMORY_HINT}. "
            raise ServerGone(f"{text}Mend what it says (`arguments` are passed to the server), and run again")

    def died(self, patience: float) -> None:
        """As `check`, for a server that has stopped answering: its processes may take so many seconds to end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self.check()

    def wait(self) -> None:
        """Wait until it answers. Raises UserError when it dies or takes longer than START_S."""
        start = time.monotonic()
        # Not through a proxy that the environment may name.
        get = build_opener(ProxyHandler({})).open
        while True:
            self.check()
            try:
                get(f"{self.url.removesuffix('/v1')}/health", timeout=POLL_S * 10).close()
                return
            except (URLError, OSError):
                pass
            if time.monotonic() - start > START_S:
                raise UserError(
                    f"the vLLM server does not answer after {START_S:.0f} s; its last lines:\n{_indented(self._tail)}"
                )
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End it and all its processes."""
        self._process.stdin.close()
        self._process.wait()
        self._reader.join(1)


@contextmanager
def serving(
    record: dict[str, Any],
    name: str,
    dtype: str,
    python: str | None,
    arguments: list[str],
    weights: Path | None = None,
) -> Iterator[VllmServer]:
    """Serve the model of a model record as `name` while the block runs.

    python: the Python that has vLLM (none = this one); arguments: further ones of the server; weights: a folder with
    other weights of the same model (full fine-tuning). Raises UserError when it does not start.
    """
    # The last of an option counts, and ours are last: what the judge's identity says holds, and where it listens.
    command = [python or sys.executable, "-m", "vllm.entrypoints.openai.api_server", *arguments]
    folder = str(Path(record["path"]).resolve())
    command += ["--model", str(weights.resolve()) if weights else folder, "--tokenizer", folder]
    command += ["--served-model-name", name]
    command += ["--host", HOST, "--dtype", dtype]
    # Sampling is what the request says, not what the model's folder says; and no line a request in the log.
    command += ["--generation-config", "vllm", "--uvicorn-log-level", "warning"]
    command += ["--trust-remote-code"] if record["trust_remote_code"] else []
    claim(gpus_of(arguments))
    server = _started(command)
    try:
        with _no_proxy():
            yield server
    finally:
        server.stop()


def _started(command: list[str]) -> VllmServer:
    """A server that answers. A port is free when it is looked for; when it was taken meanwhile, another one is."""
    for last in (False, True):
        port = free_port()
        server = VllmServer([*command, "--port", str(port)], f"http://{HOST}:{port}/v1")
        try:
            server.wait()
        except ServerGone as error:
            server.stop()
            if last or _PORT_TAKEN not in str(error).lower():
                raise UserError(str(error)) from None
        except BaseException:
            server.stop()
            raise
        else:
            return server


def _of_memory(line: str) -> bool:
    return any(words in line for words in _NO_MEMORY)


def _indented(lines: Iterable[str]) -> str:
    return "".join(f"  {line}" for line in lines).rstrip()


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return found.getsockname()[1]


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Requests to this machine do not go through the proxy that the environment may name."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = ",".join(filter(None, [before or os.environ.get("NO_PROXY"), HOST]))
    try:
        yield
    finally:
        os.environ.pop("no_proxy")
        if before is not None:
            os.environ["no_proxy"] = before
