"""One tab of the browser: what a person does with mouse and keyboard, what they see, and what no page may do."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from chromium import Chromium
from waiting import stays, wait_for

T = TypeVar("T")

SECONDS = 10.0
WIDE, PHONE = (1280, 800), (400, 800)
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}

WATCH = """
addEventListener("securitypolicyviolation", (event) =>
  report(`policy: ${event.violatedDirective} forbids ${event.blockedURI} ${event.sample}`), true);
"""
FIND = (Path(__file__).parent / "find.js").read_text()


class Tab:
    """A page as a person has it before them. `reports` is what must not have happened."""

    def __init__(self, browser: Chromium, site: str) -> None:
        self.browser, self.site = browser, site
        self.target = browser.command("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.command("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        browser.listeners[self.session] = self._heard
        self.loads, self.status = 0, 0
        # When the page asked for itself again, by the browser's clock, and what it was answered.
        self.looks: list[float] = []
        self.answers: list[int] = []
        self.reports: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Runtime.addBinding", name="report")
        self.ask("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        self.look_like(WIDE)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, for this tab."""
        return self.browser.command(method, self.session, **parameters)

    def close(self) -> None:
        self.browser.command("Target.closeTarget", targetId=self.target)
        del self.browser.listeners[self.session]

    def _heard(self, method: str, about: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self.loads += 1
        elif method == "Page.javascriptDialogOpening":
            self.reports.append(f"dialog: {about['message']}")
            self.browser.post("Page.handleJavaScriptDialog", self.session, accept=False)
        elif method == "Network.requestWillBeSent" and "fragment=1" in about["request"]["url"]:
            self.looks.append(about["timestamp"])
        elif method == "Network.responseReceived" and "fragment=1" in about["response"]["url"]:
            self.answers.append(about["response"]["status"])
        elif method == "Network.responseReceived" and about["type"] == "Document":
            self.status = about["response"]["status"]
        elif method == "Runtime.bindingCalled":
            self.reports.append(about["payload"])
        elif method == "Runtime.exceptionThrown":
            self.reports.append(f"exception: {about['exceptionDetails'].get('exception', about)}")
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
            self.reports.append(f"console: {[each.get('value') for each in about['args']]}")
        elif method == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.reports.append(f"log: {about['entry']['text']} {about['entry'].get('url', '')}")

    # What a person does.

    def open(self, address: str) -> None:
        """Goes to a page, and waits until it is there."""
        with self.loading():
            self.ask("Page.navigate", url=self.site + address if address.startswith("/") else address)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """What is done within leads to another page."""
        before = self.loads
        yield
        self.wait_for("a page to load", lambda: self.loads > before)

    def click(self, words: str) -> None:
        """Clicks on what is called so, with the mouse."""
        place = self.wait_for(f"{words!r} to be there", lambda: self.run(FIND, words))
        assert not place["covered"], f"something lies over {words!r}"
        at = {"x": place["x"], "y": place["y"], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, **at)

    def follow(self, words: str) -> None:
        """Clicks on what leads to another page."""
        with self.loading():
            self.click(words)

    def type(self, text: str, into: str | None = None) -> None:
        """Types, into what is called so or where the cursor is."""
        if into:
            self.click(into)
        self.ask("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Presses a key."""
        code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"Enter": "\r", " ": " "}.get(key)
        self.ask(
            "Input.dispatchKeyEvent",
            type="keyDown" if text else "rawKeyDown",
            **code,
            **({"text": text} if text else {}),
        )
        self.ask("Input.dispatchKeyEvent", type="keyUp", **code)

    # What a person sees.

    def run(self, function: str, *arguments: object) -> Any:
        """What a function of JavaScript gives, whatever the page's policy is."""
        call = f"({function})({', '.join(map(json.dumps, arguments))})"
        answer = self.ask("Runtime.evaluate", expression=call, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def text(self) -> str:
        """The words of the page."""
        return str(self.run("() => document.body?.innerText ?? ''"))

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self.run("() => location.pathname + location.search"))

    def wait_for(self, what: str, condition: Callable[[], T], within: float = SECONDS) -> T:
        """The first true answer, while events are heard."""

        def asked() -> T:
            self.browser.listen(0)
            return condition()

        return wait_for(what, asked, within)

    def wait_for_words(self, words: str, within: float = SECONDS) -> None:
        """Waits until the page says so."""
        try:
            self.wait_for(repr(words), lambda: words in self.text, within)
        except AssertionError as error:
            raise AssertionError(f"{error}; the page says:\n{self.text}") from None

    def wait_for_looks(self, count: int = 2) -> None:
        """Waits until the page has looked so often again, and shown what it found."""
        before = len(self.answers)
        self.wait_for(f"{count} looks", lambda: len(self.answers) >= before + count)

    def stays_quiet(self, during: float) -> None:
        """The page asks for nothing."""
        before = len(self.looks)

        def is_quiet() -> bool:
            self.browser.listen(0)
            return len(self.looks) == before

        stays("no look", is_quiet, during)

    # How it is looked at.

    def look_like(self, size: tuple[int, int], *, dark: bool = False) -> None:
        """A window of this size, by day or by night."""
        width, height = size
        on_phone = size == PHONE
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=on_phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def without_scripts(self) -> None:
        """As in a browser whose owner has switched JavaScript off."""
        self.ask("Emulation.setScriptExecutionDisabled", value=True)

    def show(self) -> None:
        """Brings it to the front; other tabs are hidden."""
        self.browser.command("Target.activateTarget", targetId=self.target)

    def photograph(self, path: Path, *, whole: bool = True) -> None:
        """Its picture, as PNG."""
        more: dict[str, Any] = {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            more = {"captureBeyondViewport": True, "clip": {**size, "scale": 1}}
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png", **more)["data"]))
