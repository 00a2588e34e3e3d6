"""Makes the pictures of pages in the README: `python docs/pictures/pages.py liuli-begin MODEL.gguf`.

The folder is that of a finished `liuli begin`; the model is Qwen 2.5 Coder 0.5B Instruct (docs/gguf.md). The pages are those of
`liuli look --html`, and a picture shows one of their sections. Needs Playwright (the test extra) and Chromium.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
LARGEST = 200_000  # bytes of a picture
LIULI = (sys.executable, "-P", "-c", "from liuli.cli.app import main; main()")


def main() -> None:
    begun, model = (os.path.abspath(name) for name in sys.argv[1:3])
    pictures = {  # picture -> what is typed, colours, width and height of the part that is shown
        "lens.png": (["look", model, "The capital of France is", "--view", "lens"], "light", 760, 800),
        "learning.png": (["look", f"{begun}/run", "--view", "learning"], "dark", 1000, 600),
    }
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (words, colours, width, height) in pictures.items():
            file = Path(scratch, name).with_suffix(".html")
            subprocess.run([*LIULI, *words, "--html", str(file)], check=True)
            page = browser.new_page(viewport={"width": width, "height": 1200}, color_scheme=colours)
            page.goto(file.as_uri())
            _take(page, words[-1], height, HERE / name)


def _take(page: Page, view: str, height: int, picture: Path) -> None:
    """Takes the upper part of the section of a view."""
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")  # draws what is not in view yet
    place = page.locator(f"#{view} > *").first.bounding_box()
    assert place is not None
    clip = {"x": 0, "y": place["y"] - 16, "width": page.viewport_size["width"], "height": height}
    page.screenshot(path=picture, clip=clip, full_page=True)
    assert picture.stat().st_size <= LARGEST, f"{picture} has {picture.stat().st_size} bytes"


if __name__ == "__main__":
    main()
