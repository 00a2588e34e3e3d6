"""HTML pages in a real browser that cannot reach any network: what a reader sees, and what went wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AXE = Path(__file__).resolve().parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
SEVERE = ("serious", "critical")


class Reader:
    """A page that is open. `problems`: errors of its script, and requests that it made."""

    def __init__(self, page: Any):
        self.page, self.problems = page, list[str]()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("dialog", self._asked)
        page.route("**/*", self._requested)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")

    def _asked(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, route: Any) -> None:
        if route.request.url.startswith("file://") and route.request.is_navigation_request():
            route.continue_()
        else:
            self.problems.append(f"request: {route.request.url}")
            route.abort()

    def open(self, path: Path) -> "Reader":
        """Opens a file, and draws all its views."""
        self.page.goto(path.as_uri())
        self.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        return self

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def severe_findings(self) -> list[str]:
        """What axe-core finds that keeps people from reading the page."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{rule['id']} ({rule['help']}): {node['html'][:160]}"
            for rule in found["violations"]
            if rule["impact"] in SEVERE
            for node in rule["nodes"]
        ]


@contextmanager
def reading(browser: Any, width: int = 1280, theme: str = "light", **settings: Any) -> Iterator[Reader]:
    """A window of a browser. `settings`: of Playwright's `new_context`."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, offline=True, **settings)
    try:
        yield Reader(context.new_page())
    finally:
        context.close()
