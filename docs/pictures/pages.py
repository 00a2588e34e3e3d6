"""Makes the pictures of pages in the README and in docs/inside.md: `python docs/pictures/pages.py liuli-begin MODEL.gguf`.

The folder is that of a finished `liuli begin`; the model is Qwen 2.5 Coder 0.5B Instruct (docs/gguf.md). The pages are those of
`liuli look --html`, and a picture shows one of their sections. Needs Playwright (the test extra) and Chromium.
"""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, sync_playwright

from liuli import load
from liuli.generate.model import Model
from liuli.inside.html import write_html
from liuli.inside.views import Subject, make_view

HERE = Path(__file__).parent
LARGEST = 200_000  # bytes of a picture
FRANCE = "The capital of France is"
ROBOT, GOLD = "他说变形金刚很酷", "他说黄金首饰很贵"


@dataclass(frozen=True)
class Picture:
    """A picture: its view, the colours, and the width and height of the part of the page that is shown, in pixels."""

    view: str
    subject: Subject
    width: int
    height: int
    colours: Literal["light", "dark"] = "light"


def pictures(real: Model, begun: Model) -> dict[str, Picture]:
    """The pictures by their names."""
    return {
        "lens": Picture("lens", Subject(real, FRANCE), 760, 800),
        "context": Picture("context", Subject(real, GOLD, (ROBOT,), word="金"), 760, 690),
        "attention": Picture("attention", Subject(real, FRANCE, layer=17), 900, 860),
        "candidates": Picture("candidates", Subject(real, FRANCE, sampling={"temperature": 1.2}), 900, 740),
        "influence": Picture("influence", Subject(real, FRANCE), 1000, 690),
        "learning": Picture("learning", Subject(begun, ""), 1000, 600, "dark"),
        "learning-light": Picture("learning", Subject(begun, ""), 1000, 600),
    }


def main() -> None:
    begun, real = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, picture in pictures(load(real), load(Path(begun, "run"))).items():
            file = Path(scratch, f"{name}.html")
            write_html(file, {picture.view: make_view(picture.view, picture.subject)}, language="en")
            page = browser.new_page(viewport={"width": picture.width, "height": 1200}, color_scheme=picture.colours)
            page.goto(file.as_uri())
            _take(page, picture, HERE / f"{name}.png")


def _take(page: Page, picture: Picture, file: Path) -> None:
    """Takes the upper part of the section of a view."""
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")  # draws what is not in view yet
    place = page.locator(f"#{picture.view} > *").first.bounding_box()
    assert place is not None
    clip = {"x": 0, "y": place["y"] - 16, "width": picture.width, "height": picture.height}
    page.screenshot(path=file, clip=clip, full_page=True)
    assert file.stat().st_size <= LARGEST, f"{file} has {file.stat().st_size} bytes"


if __name__ == "__main__":
    main()
