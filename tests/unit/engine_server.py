"""A small server that speaks vLLM's HTTP, each fault on purpose, and checkpoints that are asked on it."""

import asyncio
import json
import threading
from collections import Counter
from pathlib import Path

from aiohttp import web

from workflow_scripts.em.asks import Ask
from workflow_scripts.em.authors import ServedAuthor
from workflow_scripts.em.checkpoints import seal
from workflow_scripts.em.engine_work import Work

SAMPLING = {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 8}
OPTIONS = {"python": None, "url": None, "memory_share": 0.9, "tensor_parallel": 1, "adapters": 2}
OPTIONS |= {"max_model_len": None, "in_flight": 512, "arguments": []}


def ask(question: str, sample: int, at: tuple = (), **sampling) -> Ask:
    return Ask([{"role": "user", "content": question}], ("sampling", *at, question, sample), SAMPLING | sampling)


def adapter(folder: Path, rank: int = 4, content: bytes = b"weights") -> Path:
    """A sealed checkpoint that only we could take for one."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}), encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(content)
    seal(folder, 0)
    return folder


def whole(folder: Path) -> Path:
    """A sealed checkpoint with all of a model's weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    seal(folder, 0)
    return folder


class FakeServer:
    """Answers with the request's seeds. `fault(path, body)` may give (status, body) or a finish reason instead."""

    def __init__(self):
        self.fault = lambda path, body: None
        self.reset()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def reset(self) -> None:
        self.loaded, self.most_loaded, self.loads, self.keys = {}, 0, [], []
        self.running, self.most_running, self.bodies = 0, 0, []
        self.hold = 0  # nothing is answered before so many responses were asked for at once

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/version", self._version)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/{path}", self._post)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "9.9"})

    async def _models(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("Authorization"))
        if isinstance(fault := self.fault("models", None), tuple):
            return web.json_response(fault[1], status=fault[0])
        return web.json_response({"data": [{"id": name} for name in ("other", "tiny")]})

    async def _post(self, request: web.Request) -> web.Response:
        path, body = request.match_info["path"], await request.json()
        fault = self.fault(path, body)
        if isinstance(fault, tuple):
            return web.json_response(fault[1], status=fault[0])
        if path == "completions":
            return await self._complete(body, fault)
        name = body["lora_name"]
        if path == "unload_lora_adapter":
            del self.loaded[name]
            return web.Response(text="Success")
        assert name not in self.loads, "a name is used twice"
        self.loads.append(name)
        self.loaded[name] = body["lora_path"]
        self.most_loaded = max(self.most_loaded, len(self.loaded))
        return web.Response(text="Success")

    async def _complete(self, body: dict, fault: str | None) -> web.Response:
        assert body["model"] == "tiny" or body["model"] in self.loaded
        self.running += body["n"]
        self.most_running = max(self.most_running, self.running)
        for _ in range(2000):
            await asyncio.sleep(0.002)
            if self.most_running >= self.hold:
                break
        self.running -= body["n"]
        self.bodies.append(body | {"path": self.loaded.get(body["model"])})
        words = [40 + (body["seed"] + i) % 50 for i in range(body["n"])]
        choices = [
            {
                "index": i,
                "finish_reason": fault or "stop",
                "text": "?",
                "token_ids": self.ids or [word, word, *self.end],
            }
            for i, word in enumerate(words)
        ]
        return web.json_response({"choices": choices[::-1]})  # in no order

    end, ids = (), ()


class Study:
    """Checkpoints of a base on the fake server, each asked the same questions."""

    def __init__(self, server: FakeServer, record: Path, place: Path):
        self.server, self.record, self.place = server, record, place
        self.options = OPTIONS | {"url": server.url}
        self.checkpoints = [["base", 0, "base", 0, None]]
        for n in range(5):
            folder = adapter(place / f"step-{n}", content=b"%d" % n)
            self.checkpoints.append(["bad", 0, "em", n, str(folder)])

    @staticmethod
    def asks(*at) -> list[Ask]:
        return [ask(f"{question}?", n, at) for question in ("How", "Why") for n in range(20)]

    def work(self, **options) -> Work:
        options = self.options | options
        return Work(self.record, self.checkpoints, self.asks, "float32", options, self.place / "journal")

    def author(self, work: Work, folder: str | None) -> ServedAuthor:
        return ServedAuthor({"record": self.record, "checkpoint": folder, "dtype": "float32", "engine": work.identity})

    def kept(self, work: Work) -> int:
        """Answers in the journals; none is there twice."""
        lines = [line for path in (self.place / "journal").rglob("*.jsonl") for line in path.read_text().splitlines()]
        assert all(count == 1 for count in Counter(json.loads(line)["key"] for line in lines).values())
        return len(lines)
