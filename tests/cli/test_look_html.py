"""`liuli look --html`: the page is written, what it lacks is said, and without drawing code nothing is computed."""

import json
import re

import pytest

from liuli.inside import drawing_code


@pytest.fixture
def static(tmp_path, monkeypatch):
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / drawing_code.SCRIPT).write_text("1;")
    (folder / drawing_code.STYLE).write_text("p{}")
    monkeypatch.setattr(drawing_code, "STATIC", folder)
    return folder


def views_of(path):
    found = re.search(r'id="liuli-data">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(found[1])


def test_one_view_is_written(liuli, static, tiny_folder, tmp_path):
    path = tmp_path / "page.html"
    result = liuli("look", tiny_folder, "the a", "--view", "tokens", "--html", path)
    assert (result.code, result.err) == (0, "")
    assert "with tokens. It opens in a browser, without a network." in " ".join(result.out.split())
    assert [each["name"] for each in views_of(path)["views"]] == ["tokens"]


@pytest.mark.parametrize("option", [(), ("--view", "all")])
def test_all_views_are_written_and_the_others_are_listed_with_the_reason(liuli, static, tiny_folder, tmp_path, option):
    path = tmp_path / "page.html"
    result = liuli("look", tiny_folder, "the a", *option, "--with-model", tiny_folder, "--html", path)
    assert (result.code, result.err) == (0, "")
    page = views_of(path)
    names = [each["name"] for each in page["views"]]
    assert {"path", "tokens", "lens", "candidates", "compare"} <= set(names)
    assert {each["name"] for each in page["refused"]} >= {"patching", "learning"}
    tokens = next(each["view"] for each in page["views"] if each["name"] == "tokens")
    assert len(tokens["body"]["others"]) == 1
    assert "Without patching: patching needs one other text" in " ".join(result.out.split())


def test_which_views_use_the_word_is_printed(liuli, static, tiny_folder, tmp_path):
    result = liuli("look", tiny_folder, "the cat", "--word", "cat", "--html", tmp_path / "page.html")
    shown = " ".join(result.out.split())
    assert result.code == 0 and "The word “cat” is used by: lens, influence, ablation." in shown


@pytest.mark.parametrize(
    ("option", "message"),
    [(["--layer", 9], "there is no layer 9: the model has 2, 0 to 1"), (["--top-p", 2], "--top-p must be")],
)
def test_a_setting_that_is_wrong_is_an_error_for_all_views(liuli, static, tiny_folder, tmp_path, option, message):
    result = liuli("look", tiny_folder, "the cat", "--view", "all", *option, "--html", tmp_path / "page.html")
    assert result.code == 2 and message in result.err
    assert not (tmp_path / "page.html").exists()


def test_without_drawing_code_nothing_is_computed(liuli, static, tiny_folder, tmp_path):
    (static / drawing_code.STYLE).unlink()
    result = liuli("look", tiny_folder, "the a", "--html", tmp_path / "page.html")
    assert result.code == 2
    assert "the drawing code is not built: install Node.js" in result.err
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_would_show_nothing_of_the_text_is_not_written(liuli, static, tiny_folder, tmp_path):
    result = liuli("look", tiny_folder, "the " * 200, "--html", tmp_path / "page.html")
    assert result.code == 2 and "tokens do not fit the context of 128 tokens" in result.err
    assert result.err.count("\n") == 1 and not (tmp_path / "page.html").exists()


def test_one_reason_is_printed_once(liuli, static, tiny_folder, tmp_path):
    result = liuli("look", tiny_folder, "the", "--html", tmp_path / "page.html")
    reasons = [line for line in result.out.splitlines() if line.startswith("Without ")]
    texts = [line.split(": ", 1)[1] for line in reasons]
    assert len(texts) == len(set(texts)) > 0
