"""How large a page with all views is, for a model with the layers, heads and vocabulary of a real one."""

from helpers import narrow
from helpers.pages import reading

from liuli import load
from liuli.inside.html import write_html
from liuli.inside.views import VIEWS, Subject, make_all, make_view

LARGEST = 3_000_000  # bytes
TOKENS = 64


def test_a_page_of_64_tokens_with_all_views_is_below_3_megabytes(browser, learner, tmp_path):
    narrow.save(tmp_path)
    model = load(tmp_path)
    text, other = (model.tokenizer.decode(model.tokenizer.encode(each)[:TOKENS]) for each in (narrow.TEXT, narrow.OTHER))
    made, _ = make_all(Subject(model, text, (other,), (model,)))
    made["patching"] = make_view("patching", Subject(model, text, (other,), word=" Rome"))
    made["learning"] = make_view("learning", Subject(learner, ""))
    assert set(made) == set(VIEWS)
    assert len(made["path"].input.ids) == TOKENS
    page = tmp_path / "page.html"
    write_html(page, made)
    assert page.stat().st_size < LARGEST
    with reading(browser) as reader:
        opened = reader.open(page).page
        assert opened.locator(".view-figure.drawn").count() == len(VIEWS)
        assert opened.locator("[role=alert]").count() == 0
        assert reader.overflow == 0
        assert reader.problems == []
