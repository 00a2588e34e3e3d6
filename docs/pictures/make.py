"""Makes the pictures of the README and of the tour: `python docs/pictures/make.py liuli-begin`.

The folder is that of a finished `liuli begin`. A picture of a terminal shows what the command in its first line really printed.
The texts and numbers in life.svg are from the models in the folder. If a command fails, no more pictures are made.
"""

import html
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

from life import draw_life
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS = 80
LARGEST = 200_000  # bytes of a picture
PROMPT = "小明今天去游乐园玩"
QUESTION = "小明住在哪里？"
COMMANDS = {  # picture -> what is typed, in a folder with liuli-begin
    "ask": f'liuli world ask "{PROMPT}"',
    "tokenize": 'liuli tokenize liuli-begin/run "过山车" --steps',
    "steps": f'liuli complete liuli-begin/run "{PROMPT}" --max-tokens 2 --steps --temperature 1 --seed 1',
    "runs": "liuli runs liuli-begin/run",
    "look": f'liuli look liuli-begin/run "{PROMPT}" --view lens',
    "compare": f'liuli compare liuli-begin/run liuli-begin/assistant --prompt "{QUESTION}" --temperature 0 --max-tokens 16',
    "chat": f"printf '{QUESTION}\\n他做什么工作？\\n' | liuli chat liuli-begin/assistant --temperature 0",
    "begin": "liuli begin",
}
PARTS = {"begin": ("Probability of each continuation", "Predictions during training")}  # shown from one line up to another
# Rich's own format loads a font from the network. These fonts are on the reader's machine, the first with Chinese among them.
FONTS = (
    "'Sarasa Mono SC', 'Noto Sans Mono CJK SC', 'Source Han Mono SC', 'DejaVu Sans Mono', Menlo, Consolas, 'PingFang SC', "
    "'Microsoft YaHei', 'Noto Sans CJK SC', 'WenQuanYi Micro Hei', monospace"
)
FORMAT = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{ font-family: FONTS; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: system-ui, sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath></defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
""".replace("FONTS", FONTS)
TEXT = re.compile(r'<text class="(\S+)" x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)" clip-path="\S+">(.*?)</text>', re.S)
CELL = 12.2  # units of a cell in rich's pictures: 0.61 of the font's size


def main() -> None:
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "assistant").is_dir():
        sys.exit("usage: python docs/pictures/make.py FOLDER  (the folder of a finished `liuli begin`)")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "liuli-begin").symlink_to(Path(sys.argv[1]).resolve())
        (place / "liuli").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m liuli "$@"\n')
        (place / "liuli").chmod(0o755)
        for name, typed in COMMANDS.items():
            output = run(typed, place)
            write(name, terminal_picture(name, typed, part_of(output, *PARTS[name]) if name in PARTS else output))
        found = facts(place)
    for language, suffix in (("en", ""), ("zh", ".zh")):
        write(f"life{suffix}", draw_life(found, language))


def run(typed: str, place: Path) -> str:
    """Returns what a command prints, with colours, to standard output and standard error in the order of its writing."""
    environment = os.environ | {"PATH": f"{place}:{os.environ['PATH']}", "COLUMNS": str(COLUMNS)}
    environment |= {"FORCE_COLOR": "1", "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1"}
    environment.pop("NO_COLOR", None)
    done = subprocess.run(typed, shell=True, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode()
    if done.returncode:
        sys.exit(f"{typed} failed:\n{output}")
    # Not the path on this machine, nor the options with which the folder was made.
    output = re.sub(r"liuli begin --out \S+( --seed \d+)?", "liuli begin", output)
    return re.sub(r"/\S+/world/documents\.jsonl", "liuli-begin/world/documents.jsonl", output)


def part_of(output: str, first: str, end: str) -> str:
    """Returns the lines from the one that contains `first` up to the one that contains `end`, with … for the others."""
    lines = output.splitlines()
    places = [next((i for i, line in enumerate(lines) if text in line), None) for text in (first, end)]
    if None in places:
        sys.exit(f"there is no line with {first!r} and {end!r} in:\n{output}")
    return "\n".join(["…", *lines[places[0] : places[1]], "…"])


def terminal_picture(name: str, typed: str, output: str) -> str:
    """Returns the SVG of a terminal that shows a command and its output, with colours as ANSI codes."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(Text("$ ", style="bold green") + Text(typed, style="bold"))
    console.print(Text.from_ansi(output.rstrip()))
    return aligned(console.export_svg(title="liuli", code_format=FORMAT, unique_id=f"liuli-{name}"))


def aligned(svg: str) -> str:
    """Gives Chinese characters two cells. Rich counts one cell per character in the length of a text."""
    return TEXT.sub(lambda found: "".join(_runs(*found.groups())), svg)


def _runs(style: str, x: str, y: str, _: str, content: str) -> list[str]:
    """The parts of a text whose characters have one width, each with its own place and length."""
    at, parts = float(x), []
    for (width, _), characters in groupby(html.unescape(content), key=_kind):
        part = "".join(characters)
        length = CELL * width * len(part)
        if part.strip("\xa0 \n"):
            shown = html.escape(part).replace("\xa0", "&#160;")
            fit = "" if width == 2 else ' lengthAdjust="spacingAndGlyphs"'  # so that neighbouring bars touch
            parts.append(f'<text class="{style}" x="{at:g}" y="{y}" textLength="{length:g}"{fit}>{shown}</text>\n')
        at += length
    return parts


def _kind(character: str) -> tuple[int, bool]:
    """The cells of a character, and whether it is a line, a block or braille. A browser often takes these from another font,
    whose characters have another width."""
    return cell_len(character) or 1, "\u2500" <= character <= "\u259f" or "\u2800" <= character <= "\u28ff"


def facts(place: Path) -> dict[str, Any]:
    """What life.svg shows: tokens, the base's most likely next tokens, and an answer of the assistant."""
    tokens = json.loads(run(f'liuli tokenize liuli-begin/run "{PROMPT}" --json', place))["tokens"]
    step = run(f'liuli complete liuli-begin/run "{PROMPT}" --max-tokens 1 --candidates 2 --steps --seed 1 --json', place)
    candidates = json.loads(step.splitlines()[0])["candidates"]
    reply = subprocess.run(
        ["./liuli", "chat", "liuli-begin/assistant", "--temperature", "0"],
        input=QUESTION, cwd=place, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {
        "prompt": PROMPT,
        "tokens": [(token["text"], token["id"]) for token in tokens if token["bytes"]],  # without the begin token
        "candidates": [(each["token"]["text"], math.exp(each["logprob"])) for each in candidates],
        "question": QUESTION,
        "reply": reply.stdout.strip(),
    }


def write(name: str, svg: str) -> None:
    size = len(svg.encode())
    if size > LARGEST:
        sys.exit(f"{name}.svg has {size:,} bytes; {LARGEST:,} are allowed")
    (HERE / f"{name}.svg").write_text(svg, encoding="utf-8")
    print(f"{name}.svg: {size:,} bytes")


if __name__ == "__main__":
    main()
