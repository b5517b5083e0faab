"""Headless Chromium, driven over its DevTools protocol, one page at a time.

Playwright would add 45 MB; this needs a WebSocket and six methods.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect

from tests.harness.system_programs import program_of

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
PATIENCE = 30.0
"""Seconds that a test waits for a page to reach the expected state."""


@dataclass
class Page:
    """One tab. `complaints` holds the errors and content-policy violations that the browser wrote to its console."""

    socket: ClientConnection
    session: str = ""
    context: str = ""
    complaints: list[str] = field(default_factory=list[str])
    requests: list[str] = field(default_factory=list[str])
    _last_id: int = 0

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; note the events that arrive meanwhile."""
        self._last_id += 1
        session = {"sessionId": self.session} if self.session else {}
        await self.socket.send(json.dumps({"id": self._last_id, "method": method, "params": params, **session}))
        while True:
            message = json.loads(await self.socket.recv())
            if message.get("id") == self._last_id:
                assert "error" not in message, message["error"]
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        match message:
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error", **entry}}}:
                self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.complaints.append(str(details))
            case {"method": "Network.requestWillBeSent", "params": {"request": {"url": url}}}:
                self.requests.append(url)
            case _:
                pass

    async def open(self, url: str) -> None:
        """Load a page."""
        for domain in ("Page", "Log", "Runtime", "Network"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return await self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        with anyio.fail_after(PATIENCE):
            while True:
                if await self.evaluate(f"Boolean({expression})"):
                    return
                await anyio.sleep(0.05)

    async def show_as(self, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        """Set the screen size and the system theme."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[theme])

    async def screenshot(self, path: Path, selector: str = "html") -> None:
        """Save an element of the page, or the whole page, as a PNG."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()"
        clip = {**await self.evaluate(box), "scale": 1}
        taken = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def browser(profile: Path, *flags: str) -> Generator[str]:
    """Run a browser with an empty profile while the block runs; yield the address of its DevTools."""
    command = [program_of("chromium"), *FLAGS, *flags, f"--user-data-dir={profile}"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as it:
        try:
            yield _address(profile / "DevToolsActivePort")
        finally:
            it.kill()


def _address(written: Path) -> str:
    """Return the address of the DevTools as soon as the browser has written its two lines, port and path."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if written.exists() and len(lines := written.read_text().splitlines()) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.02)
    raise TimeoutError("the browser does not start")


@asynccontextmanager
async def page_of(address: str, *, hidden: bool = True) -> AsyncGenerator[Page]:
    """Open a page of a running browser; it shares no cookies, storage or permissions with other pages.

    A hidden page has no window, which costs more than most pages; it never has the focus, and no picture of it can be
    taken.
    """
    async with connect(address, max_size=None) as socket:
        page = Page(socket)
        page.context = (await page.call("Target.createBrowserContext", disposeOnDetach=True))["browserContextId"]
        where = {"browserContextId": page.context, "hidden": hidden}
        opened = await page.call("Target.createTarget", url="about:blank", **where)
        attached = await page.call("Target.attachToTarget", targetId=opened["targetId"], flatten=True)
        page.session = attached["sessionId"]
        yield page


@asynccontextmanager
async def browser_page(profile: Path, *flags: str) -> AsyncGenerator[Page]:
    """Run a browser of its own while the block runs; yield its page."""
    with browser(profile, *flags) as address:
        async with page_of(address, hidden=False) as page:
            yield page
