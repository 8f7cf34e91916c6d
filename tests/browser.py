"""Chromium without a window, asked over its DevTools for what it draws: for the tests, and for pictures of the docs."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tornado.websocket import WebSocketClientConnection, websocket_connect

Picture = NDArray[np.uint8]

FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    # in containers, where tests run as root and /dev/shm is small
    "--no-sandbox",
    "--disable-dev-shm-usage",
    # WebGL 2 without a graphics card
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # no request but those of the page
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
)


REQUIRED = "XOMEZARR_CHROMIUM"
"""Environment variable: ``required`` where whoever finds no Chromium is to fail."""

COMMANDS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Return the path of Chromium; None where it is not installed.

    Raises
    ------
    FileNotFoundError
        If it is not installed, and is required.
    """
    found = next(filter(None, map(shutil.which, COMMANDS)), None)
    if found is None and os.environ.get(REQUIRED) == "required":
        raise FileNotFoundError(f"Chromium is not installed, and {REQUIRED}=required; apt-get install chromium")
    return found


class Browser:
    """One page of a browser of its own."""

    def __init__(self, profile: Path, *, width: int = 640, height: int = 480) -> None:
        command = [str(chromium()), *FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"]
        self._loop = asyncio.new_event_loop()
        self._process = subprocess.Popen(
            [*command, "about:blank"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        try:
            port = self._port(profile / "DevToolsActivePort")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=20) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            self._socket: WebSocketClientConnection = self._loop.run_until_complete(
                _connected(pages[0]["webSocketDebuggerUrl"])
            )
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.ask(f"{domain}.enable")
            self.ask(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
        except BaseException:
            self.close()
            raise

    def _port(self, file: Path, seconds: float = 30) -> int:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            if file.exists() and (text := file.read_text().split()):
                return int(text[0])
            time.sleep(0.05)
        raise TimeoutError("Chromium does not start")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools and return its result."""
        number = next(self._ids)

        async def answer() -> dict[str, Any]:
            await self._socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
            while (text := await self._socket.read_message()) is not None:
                message: dict[str, Any] = json.loads(text)
                if message.get("id") == number:
                    return message
                self.events.append(message)
            raise ConnectionError("Chromium has left")

        message = self._loop.run_until_complete(asyncio.wait_for(answer(), 60))
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return dict(message["result"])

    def open(self, url: str) -> None:
        """Go to an address, and forget what was said on the page before."""
        self.ask("Page.navigate", url="about:blank")  # else an address that differs by its fragment loads nothing
        self.events.clear()
        self.ask("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Return what an expression of JavaScript gives in the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def picture(self) -> Picture:
        """Return what the page shows; shape ``(height, width, 3)``."""
        png = base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def drawn(self, is_drawn: Callable[[Picture], bool], seconds: float = 60) -> Picture:
        """Return what the page shows as soon as it is drawn, and does not change any more; what it has at the end."""
        end, before = time.monotonic() + seconds, None
        while True:
            try:
                picture = self.picture()
            except RuntimeError:  # it leaves one page for another just now
                picture = np.zeros((1, 1, 3), np.uint8)
            if (before is not None and np.array_equal(picture, before) and is_drawn(picture)) or time.monotonic() > end:
                return picture
            before = picture
            time.sleep(0.3)

    def requested(self) -> list[str]:
        """Return the addresses that the page has asked for."""
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def said(self) -> list[str]:
        """Return errors that the page or the browser has told of."""
        found = []
        for event in self.events:
            if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                entry = event["params"]["entry"]
                found.append(f"{entry['text']} {entry.get('url', '')}".strip())
            elif event.get("method") == "Runtime.exceptionThrown":
                details = event["params"]["exceptionDetails"]
                found.append(details.get("exception", {}).get("description") or details["text"])
        return found

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _connected(url: str) -> WebSocketClientConnection:
    # pictures are longer than what the client takes by itself
    return await websocket_connect(url, max_message_size=1 << 28)
