"""A headless Chromium for tests of pages, spoken to through two pipes, in the DevTools protocol: nothing to install."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

NAMES = "chromium", "chromium-browser", "google-chrome"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-dev-shm-usage",
)
LAUNCH = """
import fcntl, os, sys
there, back = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(there, 3)  # where Chromium listens
os.dup2(back, 4)  # and speaks
os.execvp(sys.argv[3], sys.argv[3:])
"""
PATIENCE = 60  # seconds for a message


@cache
def chromium() -> str:
    """Its path; the test is skipped where there is none that runs: some only say where to install another."""
    for found in filter(None, map(shutil.which, NAMES)):
        if subprocess.run([found, "--version"], capture_output=True, timeout=PATIENCE, check=False).returncode == 0:
            return found
    pytest.skip("there is no Chromium here to look at pages with")


class Browser:
    """One page. complaints: errors and warnings of its console, uncaught exceptions, and whatever it failed to load."""

    def __init__(self, profile: Path, *flags: str) -> None:
        there, self.write_to = os.pipe()
        self.read_from, back = os.pipe()
        command = [sys.executable, "-c", LAUNCH, str(there), str(back), chromium(), *FLAGS, *flags]
        self.process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(there, back),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there)
        os.close(back)
        self.count, self.buffer, self.session = 0, b"", None
        self.complaints: list[str] = []
        self.loaded = False
        targets = self.call("Target.getTargets")["targetInfos"]
        (page,) = [target["targetId"] for target in targets if target["type"] == "page"]
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.write_to)
        os.close(self.read_from)

    def call(self, method: str, **parameters: object) -> dict:
        """The answer to one command; what happens meanwhile is noted."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_to, json.dumps(message).encode() + b"\0")
        while True:
            said = self.hear()
            if said.get("id") == self.count:
                assert "error" not in said, f"{method}: {said}"
                return said["result"]

    def hear(self) -> dict:
        """The next message."""
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read_from], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self.read_from, 1 << 20)
            assert more, "the browser has gone"
            self.buffer += more
        text, _, self.buffer = self.buffer.partition(b"\0")
        said = json.loads(text)
        self.note(said.get("method"), said.get("params", {}))
        return said

    def note(self, method: str | None, what: dict) -> None:
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(what["exceptionDetails"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(what["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(what["args"]))
        elif method == "Network.requestWillBeSent" and not what["request"]["url"].startswith(("file:", "data:")):
            self.complaints.append(f"asked for {what['request']['url']}")

    def open(self, path: Path, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Load a file, in a window of that size."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.loaded = False
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not self.loaded:
            self.hear()

    def ask(self, script: str) -> object:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key, as KeyboardEvent.key names it."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self, path: Path, whole: bool = False) -> None:
        """A screenshot as PNG; whole: of all that can be scrolled to."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(shot["data"]))

    def _clip(self, whole: bool) -> dict:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 8000), "scale": 1}}
