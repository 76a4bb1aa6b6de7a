"""A headless Chromium, driven over a pipe by its DevTools protocol; nothing but the browser itself is needed."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--mute-audio"]
FLAGS += ["--remote-debugging-pipe", "--force-prefers-reduced-motion", "--autoplay-policy=no-user-gesture-required"]
FLAGS += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
KEYS = {"Enter": ("\r", 13), "Tab": ("", 9), "Escape": ("", 27), "Space": (" ", 32), "ArrowDown": ("", 40)}
PATIENCE = 30.0  # seconds until something that is waited for has to be there


class Browser:
    """One page. What its console complained of stands in ``complaints``, what it asked the network for in ``asked``."""

    def __init__(self, program: str, profile: Path):
        to_it, ours = (_high(end) for end in os.pipe())
        theirs, from_it = (_high(end) for end in os.pipe())
        self.write, self.read, self.number, self.left = ours, theirs, 0, b""
        self.complaints: list[str] = []
        self.asked: list[str] = []
        quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        ends = [(os.POSIX_SPAWN_DUP2, to_it, 3), (os.POSIX_SPAWN_DUP2, from_it, 4)]
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = os.posix_spawn(program, command, os.environ, file_actions=[*quiet, *ends], setpgroup=0)
        os.close(to_it)
        os.close(from_it)
        page = next(t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session: str | None = None
        facts = {"targetId": page["targetId"], "flatten": True}
        self.session = self._call("Target.attachToTarget", **facts)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, address: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a page in a window of that size, and wait until its files are there."""
        facts = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **facts)
        self._call("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=scheme)
        self.run("window.before = true")
        self._call("Page.navigate", url=address)
        self.wait("!window.before && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        facts = {"expression": script, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        found = self._call("Runtime.evaluate", **facts)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = self.run(f"!!({script})")
            except AssertionError:  # between two documents
                found = False
            if found:
                return
            assert time.monotonic() < end, f"never true: {script}; {self.complaints}"
            time.sleep(0.02)

    def press(self, key: str, shift: bool = False) -> None:
        """One key, as a hand would."""
        text, code = KEYS[key]
        names = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": code}
        held = {"modifiers": 8 if shift else 0}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **names, **held)
        self._call("Input.dispatchKeyEvent", type="keyUp", **names, **held)

    def type(self, text: str) -> None:
        """Into whatever has the focus."""
        self._call("Input.insertText", text=text)

    def tab_to(self, script: str, most: int = 40) -> int:
        """Press Tab until the element that has the focus (``e``) is the wanted one; gives how often."""
        for count in range(1, most + 1):
            self.press("Tab")
            if self.run(f"(e => {script})(document.activeElement)"):
                return count
        raise AssertionError(f"no Tab leads to: {script}")

    def drop(self, content: bytes, name: str, kind: str, where: str = "body", event: str = "drop") -> None:
        """Let go of a file above an element, or paste it there."""
        data = base64.b64encode(content).decode()
        carrier = "clipboardData" if event == "paste" else "dataTransfer"
        make = "ClipboardEvent" if event == "paste" else "DragEvent"
        self.run(f"""(() => {{
          const bytes = Uint8Array.from(atob("{data}"), letter => letter.charCodeAt(0)), carried = new DataTransfer();
          carried.items.add(new File([bytes], {json.dumps(name)}, {{type: "{kind}"}}));
          const event = new {make}("{event}", {{{carrier}: carried, bubbles: true, cancelable: true}});
          document.querySelector({json.dumps(where)}).dispatchEvent(event);
        }})()""")

    def nodes(self) -> list[tuple[str, str]]:
        """(role, name) of all that a screen reader meets."""
        found = self._call("Accessibility.getFullAXTree")["nodes"]
        seen = [n for n in found if not n.get("ignored") and "role" in n]
        return [(n["role"].get("value", ""), n.get("name", {}).get("value", "")) for n in seen]

    def offline(self, on: bool) -> None:
        """Take the network away."""
        facts = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self._call("Network.emulateNetworkConditions", offline=on, **facts)

    def shoot(self, file: Path) -> None:
        """The whole page as a PNG."""
        found = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """End the browser and all that it started."""
        with contextlib.suppress(OSError):
            os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.write)
        os.close(self.read)

    def _call(self, method: str, **facts: Any) -> dict:
        self.number += 1
        session = {"sessionId": self.session} if getattr(self, "session", None) else {}
        message = {"id": self.number, "method": method, "params": facts, **session}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data) :]
        for found in self._messages():
            if found.get("id") == self.number:
                assert "error" not in found, (method, found["error"])
                return found["result"]
            self._note(found)
        raise AssertionError("the browser is gone")

    def _messages(self) -> Iterator[dict]:
        end = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self.left:
                whole, _, self.left = self.left.partition(b"\0")
                yield json.loads(whole)
            ready, _, _ = select.select([self.read], [], [], max(end - time.monotonic(), 0))
            assert ready, "the browser says nothing"
            more = os.read(self.read, 2**20)
            if not more:
                return
            self.left += more

    def _note(self, event: dict) -> None:
        facts = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.asked.append(facts["request"]["url"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(facts["exceptionDetails"].get("exception", facts["exceptionDetails"])))
        if event.get("method") == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(facts["args"]))
        if event.get("method") == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{facts['entry']['text']} {facts['entry'].get('url', '')}")


def opened(profile: Path) -> Iterator[Browser]:
    """A browser, closed in the end; where CI is set its lack is a failure."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium: apt-get install chromium")
        pytest.skip("no chromium")
    browser = Browser(found, profile)
    yield browser
    browser.close()


def _high(end: int) -> int:
    """The same end of a pipe under a number that stands in nobody's way."""
    other = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 100)
    os.close(end)
    return other
