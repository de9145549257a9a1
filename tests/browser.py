"""A headless Chromium that tests drive over its DevTools protocol: a page is opened, asked, clicked and pictured."""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install -y chromium")
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}


class Browser:
    """One tab. `problems` collects errors of the console, of scripts and of the page's policy, and all it asked for."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        # Root in a container has no sandbox, and /dev/shm is small there.
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--remote-debugging-port=0", f"--user-data-dir={self._folder.name}", "--hide-scrollbars"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([PROGRAM, *options, "about:blank"], stdout=quiet, stderr=quiet)
        self._numbers = iter(range(1, 10**9))
        self._answers: dict[int, asyncio.Future] = {}
        self._loop.run_until_complete(self._connect())

    async def _connect(self) -> None:
        place = Path(self._folder.name) / "DevToolsActivePort"
        until = time.monotonic() + 60
        while not (place.is_file() and place.read_text().strip()):
            assert time.monotonic() < until and self._process.poll() is None, "Chromium did not start"
            await asyncio.sleep(0.05)
        port = place.read_text().split()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            tab = next(one for one in await answer.json() if one["type"] == "page")
        self._socket = await self._session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.ensure_future(self._read())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._send(f"{domain}.enable")

    async def _read(self) -> None:
        async for message in self._socket:
            self._heard(message.json())

    def _heard(self, said: dict[str, Any]) -> None:
        if "id" in said:
            self._answers.pop(said["id"]).set_result(said)
            return
        method, about = said["method"], said.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.problems.append(str([one.get("value", one.get("description")) for one in about["args"]]))
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.problems.append(about["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    async def _send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = self._loop.create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        said = await asyncio.wait_for(answer, 120)
        assert "error" not in said, f"{method}: {said['error']}"
        return said["result"]

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        return self._loop.run_until_complete(self._send(method, **params))

    def open(self, path: Path, width: str = "desktop", dark: bool = False, wait: bool = True) -> None:
        """Open a file and, unless not to `wait`, see it ready (data-ready on its root element)."""
        self.problems.clear()
        self.requests.clear()
        size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
        self.send("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=width == "phone")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=path.resolve().as_uri())
        if wait:
            self.until("document.documentElement?.dataset.ready === 'true'")

    def ask(self, expression: str) -> Any:
        """Value of a JavaScript expression; a promise is waited for."""
        found = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript condition holds."""
        end = time.monotonic() + seconds
        while not self.ask(condition):
            assert time.monotonic() < end, f"never true: {condition}; {self.problems}"
            time.sleep(0.02)

    def set(self, element: str, value: str) -> None:
        """Fill in a field as a reader would: its value, then the events that this gives."""
        fired = "for (const type of ['input', 'change']) e.dispatchEvent(new Event(type, {bubbles: true}))"
        self.ask(f"(e => {{ e.value = {json.dumps(value)}; {fired} }})(document.getElementById({element!r}))")

    def press(self, key: str) -> None:
        """Press a key that has a name, on what has the focus."""
        codes = {"ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39, "End": 35, "Enter": 13, "Tab": 9}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self.send("Input.dispatchKeyEvent", type="keyDown", **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, path: Path, whole: bool = True) -> None:
        """Write a PNG of the page, all of it or what is in sight."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """End the browser that was started here."""

        async def end() -> None:
            self._reader.cancel()
            await self._socket.close()
            await self._session.close()

        self._loop.run_until_complete(end())
        self._loop.close()
        self._process.terminate()
        self._process.wait(30)
        self._folder.cleanup()
