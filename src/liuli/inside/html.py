"""Views as one HTML file that opens offline: the drawing code of `ui/`, built into `liuli/static`, and the views as JSON.

Nothing from a prompt or a model is ever markup. In the JSON, every character that could end the script is written as \\uXXXX,
and the drawing code makes text nodes only. A content security policy forbids the page every request.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from html import escape
from pathlib import Path, PurePath
from typing import Any, Literal

import liuli
from liuli.display import escaped, on_line, why
from liuli.errors import LiuliError
from liuli.files import write_text
from liuli.inside.caveats import CAVEATS
from liuli.inside.compare import CompareTrace
from liuli.inside.drawing_code import drawing_code
from liuli.inside.reasons import in_chinese
from liuli.inside.self_check import MEANINGS, UNITS
from liuli.inside.views import VIEWS, AnyView
from liuli.output_paths import check_new_file, parents_of
from liuli.tokens.scripts import script_of

Language = Literal["en", "zh"]
LANGUAGES = {"en": "en", "zh": "zh-Hans"}
CHINESE_FROM = 0.5  # share of the letters of the texts that are Chinese characters
WITHOUT_SCRIPT = {
    "en": "This page shows its views with JavaScript, which is off in your browser. It makes no request to any server. "
    "The numbers are in the source of this page, as JSON. It has these views:",
    "zh": "本页用 JavaScript 画图，而你的浏览器关闭了 JavaScript。本页不会访问任何服务器。"
    "数字以 JSON 写在本页的源代码里。本页的视图有：",
}
FRAME_HEIGHT = 720  # pixels; the reader can change it
MARKUP = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}  # `escaped` replaces U+2028 and U+2029


def write_html(
    path: str | Path, views: Mapping[str, AnyView], refused: Mapping[str, str] | None = None, language: Language | None = None
) -> None:
    """Writes a page with all `views`.

    Args:
        path: of a new file.
        views: by name. refused: for each view that could not be made, why.
        language: of the page when it is opened; its reader can change it. None: Chinese if the texts that were read are
            mostly Chinese, otherwise that of the reader's browser, if it is English or Chinese.

    Raises:
        LiuliError: the file exists or cannot be written; the drawing code is not built.
    """
    check_new_file(path, ".html")
    page = make_page(views, refused, language)
    place = Path(path)
    try:
        with parents_of(place):
            write_text(place, page)
    except OSError as error:
        raise LiuliError(f"{path} cannot be written: {why(error)}; give another path") from None


def to_html(view: AnyView, language: Language | None = None) -> str:
    """A page with one view. Raises LiuliError: the drawing code is not built."""
    return make_page({name_of(view): view}, {}, language)


def in_notebook(view: AnyView) -> str:
    """The page of a view in a frame of its own, which can do nothing but run its script; or a text that says how to build the
    drawing code."""
    try:
        page = to_html(view)
    except LiuliError as error:
        return f"<p>{escape(type(view).__name__)}: {escape(str(error))}.</p>"
    style = f"width: 100%; height: {FRAME_HEIGHT}px; border: 0; resize: vertical"
    return f'<iframe title="{escape(name_of(view))}" sandbox="allow-scripts" style="{style}" srcdoc="{escape(page)}"></iframe>'


def name_of(view: AnyView) -> str:
    return "compare" if isinstance(view, CompareTrace) else view.NAME


def make_page(views: Mapping[str, AnyView], refused: Mapping[str, str] | None = None, language: Language | None = None) -> str:
    """The text of a page. Raises LiuliError: the drawing code is not built."""
    script, style = drawing_code()
    opens_in = language or ("zh" if _mostly_chinese(views) else None)
    without_script = opens_in or "en"
    listed = "".join(f"<li>{escape(shown(name)[without_script])}</li>" for name in views)
    message = f'<main class="page-message"><p>{escape(WITHOUT_SCRIPT[without_script])}</p><ul>{listed}</ul></main>'
    return f"""<!doctype html>
<html lang="{LANGUAGES[without_script]}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(_title(views))}</title>
<style>{style}</style>
</head>
<body class="liuli">
<div id="liuli"><noscript>{message}</noscript></div>
<script type="application/json" id="liuli-data">{_data(views, refused or {}, opens_in)}</script>
<script>{script}</script>
</body>
</html>
"""


def _policy(script: str) -> str:
    """Nothing may be requested, and no script may run but this one. The drawings set styles of their elements."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _title(views: Mapping[str, AnyView]) -> str:
    for view in views.values():
        if not isinstance(view, CompareTrace):
            model = PurePath(view.model.path).name
            return on_line(f"{view.input.text} · {model} · Liuli" if view.input.text else f"{model} · Liuli")
    return "Liuli"


def _mostly_chinese(views: Mapping[str, AnyView]) -> bool:
    scripts = Counter(script_of(character) for view in views.values() for text in _texts(view) for character in text)
    letters = scripts["Han"] + scripts["Latin"]
    return letters > 0 and scripts["Han"] / letters >= CHINESE_FROM


def _texts(view: AnyView) -> list[str]:
    """What was read."""
    if isinstance(view, CompareTrace):
        return [str(message["content"]) for asked in view.asked for message in asked.prompt.messages]
    return [view.input.text]


def _data(views: Mapping[str, AnyView], refused: Mapping[str, str], language: Language | None) -> str:
    """What the drawing code reads (`PageData` in ui/src/page.ts), as JSON that cannot end its script."""
    made = [{"name": name, "shows": shown(name), "view": view.to_json()} for name, view in views.items()]
    data: dict[str, Any] = {
        "version": liuli.__version__,
        "language": language,
        "views": made,
        "refused": [
            {"name": name, "shows": shown(name), "reason": _bilingual((reason, in_chinese(reason)))}
            for name, reason in refused.items()
        ],
        "caveats": {key: _bilingual(CAVEATS[key]) for view in views.values() for key in view.caveats},
        "checks": {check.name: _bilingual(MEANINGS[check.name]) for view in views.values() for check in view.checks},
        "units": {
            check.unit: _bilingual((check.unit, UNITS.get(check.unit, check.unit)))
            for view in views.values()
            for check in view.checks
        },
    }
    text = escaped(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
    return text.translate(str.maketrans(MARKUP))


def shown(name: str) -> dict[str, str]:
    """What a view shows, in both languages."""
    return _bilingual((VIEWS[name].shows, VIEWS[name].shows_zh))


def _bilingual(texts: tuple[str, str]) -> dict[str, str]:
    return {"en": texts[0], "zh": texts[1]}
