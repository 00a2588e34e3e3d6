"""Pages as files: what is in them, and what happens without the drawing code."""

import json
import re

import pytest

from liuli import LiuliError
from liuli.inside import drawing_code
from liuli.inside.html import in_notebook, make_page, to_html, write_html
from liuli.inside.views import Subject, make_view

HOSTILE = "</script><!--<img onerror=x>&amp;\u2028\u202e"


@pytest.fixture(autouse=True)
def static(tmp_path, monkeypatch):
    """Drawing code that is built."""
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / drawing_code.SCRIPT).write_text("1;")
    (folder / drawing_code.STYLE).write_text("p{}")
    monkeypatch.setattr(drawing_code, "STATIC", folder)
    return folder


@pytest.fixture(scope="module")
def view(tiny):
    return make_view("tokens", Subject(tiny, HOSTILE))


def data_of(page):
    found = re.findall(r'<script type="application/json" id="liuli-data">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1
    return found[0]


def test_the_page_contains_the_json_of_the_view(view):
    data = json.loads(data_of(to_html(view)))
    assert [each["view"] for each in data["views"]] == [json.loads(json.dumps(view.to_json()))]
    assert data["views"][0]["view"]["input"]["text"] == HOSTILE
    assert set(data["caveats"]) == set(view.caveats)
    assert set(data["checks"]) == {check.name for check in view.checks}


def test_nothing_in_a_text_can_end_the_script_or_act_in_the_source(view):
    page = make_page({"tokens": view}, {"lens": "</script><b>"})
    assert not re.search("[<>&\u2028\u202e]", data_of(page))
    assert page.count("</script>") == 2
    assert "<img" not in page and "<b>" not in page


def test_the_page_allows_no_request(view):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', to_html(view))
    assert policy is not None
    assert "default-src 'none'" in policy[1] and "http" not in policy[1]


def test_a_page_says_its_language(view):
    assert '<html lang="zh-Hans">' in to_html(view, "zh")
    assert json.loads(data_of(to_html(view, "zh")))["language"] == "zh"


@pytest.mark.parametrize(
    ("text", "language"),
    [("the cat", None), ("猫 the cat", None), ("变形金刚", "zh"), ("用 GPT", None), ("12", None)],
)
def test_a_page_opens_in_chinese_if_its_text_is_mostly_chinese(tiny, text, language):
    page = to_html(make_view("tokens", Subject(tiny, text)))
    assert json.loads(data_of(page))["language"] == language
    assert f'<html lang="{"zh-Hans" if language else "en"}">' in page


def test_reasons_and_units_are_in_both_languages(view):
    data = json.loads(
        data_of(make_page({"tokens": view}, {"patching": "a word has no tokens: give a word of at least one character"}))
    )
    assert data["refused"][0]["reason"]["zh"].startswith("词没有 token")
    assert data["units"]["tokens"] == {"en": "tokens", "zh": "个 token"}


def test_an_existing_file_is_not_replaced(view, tmp_path):
    path = tmp_path / "new" / "page.html"
    write_html(path, {"tokens": view})
    before = path.read_text()
    with pytest.raises(LiuliError, match="already exists"):
        write_html(path, {})
    assert path.read_text() == before


def test_a_notebook_shows_the_page_in_a_frame_that_can_do_nothing_else(view):
    frame = view._repr_html_()
    assert frame.startswith("<iframe") and 'sandbox="allow-scripts"' in frame
    assert frame.count("<") == 2


def test_without_drawing_code_a_page_says_how_to_build_it(view, static, tmp_path):
    (static / drawing_code.SCRIPT).unlink()
    with pytest.raises(LiuliError, match=r"not built: install Node\.js"):
        write_html(tmp_path / "page.html", {"tokens": view})
    assert not (tmp_path / "page.html").exists()
    assert "not built" in in_notebook(view) and "<script" not in in_notebook(view)
