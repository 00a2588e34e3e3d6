"""Draws life.svg: the life of a model, from text to an agent. What exists has a solid frame, what is planned a dashed one."""

from html import escape
from typing import Any

FONTS = "system-ui, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', 'WenQuanYi Micro Hei', sans-serif"
MONO = "'DejaVu Sans Mono', Menlo, Consolas, monospace"
WIDTH, HEIGHT = 960, 416
BOX, GAP, TALL = 210, 30, 148  # sizes of a box
LEFT, FIRST, SECOND = 15, 62, 254  # the left border, and the top of each row
INK, GREY, GREEN, PALE = "#16324a", "#5b6b7b", "#2f7f79", "#f7f9fb"
WORDS = {
    "en": {
        "title": "The life of a language model",
        "text": "Text",
        "tokenizer": "Tokenizer",
        "base": "Base model",
        "assistant": "Assistant",
        "thumbs": "Learns from thumbs",
        "agent": "Agent",
        "server": "Server",
        "of_thumbs": ("Votes in the chat", "train the model:", "DPO, KTO, PPO, GRPO"),
        "of_agent": ("It calls tools (ReAct),", "and its JSON is always", "valid"),
        "of_server": ("An HTTP interface", "that other programs", "already use"),
        "today": "works today",
        "planned": "planned",
        "everywhere": ("At every step, look inside:",),
        "about": "Text, a tokenizer, a base model, an assistant and an agent, which work today; learning from thumbs and a "
        "server, which are planned.",
    },
    "zh": {
        "title": "语言模型的一生",
        "text": "文本",
        "tokenizer": "分词器",
        "base": "基础模型",
        "assistant": "助手",
        "thumbs": "从点赞中学习",
        "agent": "智能体",
        "server": "服务",
        "of_thumbs": ("聊天中的点赞和点踩", "用来训练模型：", "DPO、KTO、PPO、GRPO"),
        "of_agent": ("调用工具（ReAct），", "输出的 JSON 总是合法的",),
        "of_server": ("HTTP 接口，", "现有的程序可以直接使用"),
        "today": "现在就能用",
        "planned": "计划中",
        "everywhere": ("每一步都能看到内部：",),
        "about": "文本、分词器、基础模型、助手和智能体，现在就能用；从点赞中学习和服务，还在计划中。",
    },
}  # fmt: skip
COMMANDS = {"agent": "agent · extract · join"}  # of what exists in the second row
LOOK = ("look", "tokenize --steps", "complete --steps", "runs")


def draw_life(found: dict[str, Any], language: str) -> str:
    """Returns the SVG. `found`: tokens, candidates, question and reply of real models; see `facts` in make.py."""
    words = WORDS[language]
    tokens = " ".join(text for text, _ in found["tokens"])
    ids = " ".join(str(number) for _, number in found["tokens"])
    today = (
        ("text", ("world", "data look"), _lines(f"{found['prompt']}…")),
        ("tokenizer", ("tokenizer", "tokenize"), _lines(tokens) + _lines(ids, GREY)),
        ("base", ("train", "complete"), _lines(f"{found['prompt']} …") + _bars(found["candidates"])),
        ("assistant", ("finetune", "chat"), _lines(found["question"], GREY) + _lines(found["reply"])),
    )
    parts = [_text(LEFT, 40, words["title"], 22, INK, bold=True), *_legend(words)]
    for column, (name, commands, inner) in enumerate(today):
        x = LEFT + column * (BOX + GAP)
        parts += [*_box(x, FIRST, words[name], False), *_placed(inner, x + 14, FIRST + 56)]
        parts.append(_text(x + 14, FIRST + TALL - 14, "liuli " + " · ".join(commands), 11, GREEN, mono=True))
        if column:
            parts.append(_arrow(f"M{x - GAP + 3} {FIRST + TALL // 2}H{x - 6}"))
    for column, name in ((3, "thumbs"), (2, "agent"), (1, "server")):
        x = LEFT + column * (BOX + GAP)
        about = [(line, GREY) for line in words[f"of_{name}"]]
        parts += [*_box(x, SECOND, words[name], name not in COMMANDS), *_placed(about, x + 14, SECOND + 60)]
        if name in COMMANDS:
            parts.append(_text(x + 14, SECOND + TALL - 14, f"liuli {COMMANDS[name]}", 11, GREEN, mono=True))
        down = f"M{x + BOX // 2} {FIRST + TALL + 3}V{SECOND - 6}"
        left = f"M{x + BOX + GAP - 3} {SECOND + TALL // 2}H{x + BOX + 6}"
        parts.append(_arrow(down if column == 3 else left))
    look = [(line, INK) for line in words["everywhere"]]
    parts += _placed(look, LEFT, SECOND + 32)
    parts += [_text(LEFT, SECOND + 60 + 24 * row, f"liuli {name}", 13, GREEN, mono=True) for row, name in enumerate(LOOK)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{FONTS}" role="img" '
        f'aria-label="{escape(words["about"])}">\n<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="{PALE}"/>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{GREY}"/></marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _box(x: int, y: int, title: str, planned: bool) -> list[str]:
    line = f'stroke="{GREY}" stroke-dasharray="6 5"' if planned else f'stroke="{GREEN}"'
    frame = f'<rect x="{x}" y="{y}" width="{BOX}" height="{TALL}" rx="8" fill="#fff" stroke-width="2" {line}/>'
    return [frame, _text(x + 14, y + 28, title, 15, GREY if planned else INK, bold=True)]


def _legend(words: dict[str, Any]) -> list[str]:
    parts = []
    for x, name, dashes in ((700, "today", ""), (840, "planned", ' stroke-dasharray="6 5"')):
        colour = GREY if dashes else GREEN
        frame = f'fill="#fff" stroke="{colour}" stroke-width="2"{dashes}'
        parts.append(f'<rect x="{x}" y="27" width="26" height="15" rx="3" {frame}/>')
        parts.append(_text(x + 34, 40, words[name], 14, GREY))
    return parts


def _lines(text: str, colour: str = INK, columns: int = 22) -> list[tuple[str, str]]:
    """A text in at most two lines of so many columns; a Chinese character has two."""
    lines, used = [""], 0
    for character in text:
        wide = 2 if ord(character) > 0x2E7F else 1
        if used + wide > columns:
            lines.append("")
            used = 0
        lines[-1] += character
        used += wide
    if len(lines) > 2:
        lines = [lines[0], lines[1][:-1] + "…"]
    return [(line.strip(), colour) for line in lines]


def _bars(candidates: list[tuple[str, float]]) -> list[tuple[str, str]]:
    """The most likely next tokens, each with a bar of up to seven blocks."""
    return [(f"{text} {'█' * max(1, round(7 * share))} {share:.0%}", GREEN) for text, share in candidates]


def _placed(lines: list[tuple[str, str]], x: int, y: int) -> list[str]:
    return [_text(x, y + 20 * row, line, 14, colour) for row, (line, colour) in enumerate(lines)]


def _text(x: int, y: int, text: str, size: int, colour: str, bold: bool = False, mono: bool = False) -> str:
    more = (' font-weight="600"' if bold else "") + (f' font-family="{MONO}"' if mono else "")
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{more}>{escape(text)}</text>'


def _arrow(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{GREY}" stroke-width="2" marker-end="url(#tip)"/>'
