"""A browser, and the exports of all views of small models."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import begun

from liuli import LiuliError, load
from liuli.inside.drawing_code import check_built
from liuli.inside.html import write_html
from liuli.inside.views import VIEWS, Subject, make_all, make_view

NAMES = ("chromium", "chromium-browser", "google-chrome")
TEXT, OTHER = "the gold 金 cat", "the cold 金 cat"
HOSTILE = "</script><img src=x onerror=alert(1)>\u202e&lt;\x1b[31m"


@pytest.fixture(scope="session")
def browser():
    """Chromium; a test that asks for it skips without it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium, which is not installed")
    try:
        check_built()
    except LiuliError as error:
        pytest.skip(str(error))
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


def make_views(model, text, other, learner):
    subject = Subject(model, text, (other,), (model,))
    made, refused = make_all(subject)
    made["learning"] = make_view("learning", Subject(learner, ""))
    made["patching"] = make_view("patching", Subject(model, text, (other,), word="a"))
    assert set(refused) <= {"learning", "patching"}, refused
    return {name: made[name] for name in VIEWS}


@pytest.fixture(scope="session")
def learner(tmp_path_factory):
    """A model with the trace of its training."""
    return load(begun.make(tmp_path_factory.mktemp("begun")) / "run")


@pytest.fixture(scope="session")
def views(tiny, learner):
    """Every view, of a random model."""
    return make_views(tiny, TEXT, OTHER, learner)


@pytest.fixture(scope="session")
def exported(views, tmp_path_factory) -> Path:
    """A folder with a page for each view, and all.html."""
    folder = tmp_path_factory.mktemp("pages")
    for name, view in views.items():
        write_html(folder / f"{name}.html", {name: view})
    write_html(folder / "all.html", views, {"patching": "a reason <b>in markup</b>"})
    return folder


@pytest.fixture(scope="session")
def hostile_page(tiny, learner, tmp_path_factory) -> Path:
    """All views of a text that tries to be markup, with a word that its tokens join with others, and a hostile path."""
    path = tmp_path_factory.mktemp("hostile") / "page.html"
    made = make_views(tiny, HOSTILE, HOSTILE.replace("x", "y"), learner)
    context, tokens = made["context"], made["tokens"]
    merged = tuple(replace(sentence, covered=f"{HOSTILE}!") for sentence in context.sentences)
    made["context"] = replace(context, word=HOSTILE, sentences=merged)
    made["tokens"] = replace(tokens, others=tuple(replace(other, path=f"a/{HOSTILE}") for other in tokens.others))
    write_html(path, made, {"patching": f"it is {HOSTILE}"})
    return path
