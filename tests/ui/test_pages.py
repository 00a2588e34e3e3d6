"""The pages in Chromium, offline: every view opens, is readable on a phone and in the dark, and follows the keyboard."""

import re

import pytest
from helpers.pages import AXE, reading

from liuli.inside.views import VIEWS

# All that is shown or read aloud, and all other attributes.
EVERY_TEXT = """[...document.querySelectorAll('#liuli *')].flatMap((each) =>
    [each.textContent, ...[...each.attributes].map(({value}) => value)])"""

every_view = pytest.mark.parametrize("name", VIEWS)
every_theme = pytest.mark.parametrize("theme", ["light", "dark"])


@every_view
@every_theme
def test_a_view_opens_offline_and_without_errors(browser, exported, name, theme):
    with reading(browser, theme=theme) as reader:
        page = reader.open(exported / f"{name}.html").page
        assert page.locator("h2").first.inner_text()
        assert page.locator(".view-figure.drawn").inner_text().strip()
        assert page.locator("[role=alert]").count() == 0
        assert reader.overflow == 0
        assert reader.problems == []


@every_view
def test_a_view_fits_a_phone(browser, exported, name):
    with reading(browser, width=390) as reader:
        assert reader.open(exported / f"{name}.html").overflow == 0


@every_theme
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_all_views_has_no_severe_barriers(browser, exported, theme, width):
    if not AXE.is_file():
        pytest.skip("needs axe-core: run npm ci in ui")
    with reading(browser, theme=theme, width=width) as reader:
        assert reader.open(exported / "all.html").severe_findings() == []
        assert reader.overflow == 0


def test_views_are_drawn_when_they_come_near_the_window(browser, exported):
    with reading(browser) as reader:
        page = reader.page
        page.goto((exported / "all.html").as_uri())
        page.wait_for_selector("#path .drawn")
        assert page.locator("#compare .drawn").count() == 0
        page.locator("#compare").scroll_into_view_if_needed()
        page.wait_for_selector("#compare .drawn")
        assert reader.problems == []


def test_markup_and_controls_in_a_text_are_shown_as_text(browser, hostile_page):
    with reading(browser) as reader:
        page = reader.open(hostile_page).page
        assert page.locator("h1").inner_text() == "</script><img src=x onerror=alert(1)><U+202E>&lt;<U+001B>[31m"
        assert page.locator("img").count() == 0
        assert page.locator(".context-sentences .note").count() > 0
        texts = page.evaluate(EVERY_TEXT)
        assert len(texts) > 100
        assert not [text for text in texts if re.search("[\u202a-\u202e\u2066-\u2069\x1b]", text)]
        assert page.locator("[role=alert]").count() == 0
        assert reader.problems == []


def test_the_theme_follows_the_system_until_one_is_chosen(browser, exported):
    background = "getComputedStyle(document.body).backgroundColor"
    with reading(browser, theme="dark") as reader:
        page = reader.open(exported / "all.html").page
        dark = page.evaluate(background)
        page.get_by_text("Light", exact=True).click()
        light = page.evaluate(background)
        page.get_by_text("Dark", exact=True).click()
        assert page.evaluate(background) == dark != light
        assert reader.problems == []


def test_the_page_can_be_read_in_chinese(browser, exported):
    with reading(browser) as reader:
        page = reader.open(exported / "all.html").page
        page.get_by_text("中文", exact=True).click()
        assert page.evaluate("document.documentElement.lang") == "zh-Hans"
        assert page.locator("#candidates h2").inner_text() == "候选"
        assert VIEWS["path"].shows_zh in page.locator("#path").inner_text()
        assert reader.problems == []


def test_the_language_and_the_theme_stay_when_the_page_is_loaded_again(browser, exported):
    with reading(browser) as reader:
        page = reader.open(exported / "tokens.html").page
        page.get_by_text("中文", exact=True).click()
        page.get_by_text("深色", exact=True).click()
        page.reload()
        assert page.evaluate("document.documentElement.lang") == "zh-Hans"
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page = reader.open(exported / "path.html").page  # another page: as the browser wants it
        assert page.evaluate("document.documentElement.lang") == "en"
        assert reader.problems == []


def test_the_stop_of_the_tab_key_is_never_in_a_closed_block(browser, exported):
    with reading(browser) as reader:
        page = reader.open(exported / "path.html").page
        stop, block = page.locator(".path [tabindex='0']"), page.locator(".path details").first
        block.locator("summary").focus()
        page.keyboard.press("Enter")
        assert block.evaluate("each => each.open")
        inner = block.locator(".path-row").nth(1).locator(".path-shape")
        page.locator(".path [tabindex='0']").focus()
        while not inner.evaluate("each => each === document.activeElement"):
            page.keyboard.press("ArrowRight")
        block.evaluate("each => each.open = false")
        page.wait_for_function("document.querySelector(\".path [tabindex='0']\").checkVisibility({visibilityProperty: true})")
        assert stop.count() == 1
        assert reader.problems == []


@pytest.mark.parametrize(("locale", "language"), [("zh-CN", "zh-Hans"), ("zh-TW", "zh-Hans"), ("en-GB", "en"), ("de-DE", "en")])
def test_a_page_opens_in_the_language_of_the_browser(browser, exported, locale, language):
    with reading(browser, locale=locale) as reader:
        page = reader.open(exported / "tokens.html").page
        assert page.evaluate("document.documentElement.lang") == language


def test_a_page_of_a_chinese_text_opens_in_chinese(browser, exported):
    with reading(browser, locale="en-GB") as reader:
        page = reader.open(exported / "learning.html").page
        assert page.evaluate("document.documentElement.lang") == "zh-Hans"


def test_a_chinese_page_has_no_english_sentences(browser, exported):
    """What is left are words of the field, and names of models, tensors and files."""
    with reading(browser, locale="zh-CN") as reader:
        page = reader.open(exported / "all.html").page
        page.evaluate("document.querySelectorAll('.token, code, q, blockquote').forEach((each) => each.remove())")
        assert re.findall("[A-Za-z]+(?: [A-Za-z]+){2,}", page.locator("main").inner_text()) == []


def test_what_the_reader_has_set_stays_in_another_language_and_theme(browser, exported):
    with reading(browser) as reader:
        page = reader.open(exported / "all.html").page
        page.locator("input[name=temperature]").fill("1.4")
        page.locator("#attention .attention-heads input").nth(3).check()
        page.locator("#influence .switch input").nth(2).check()
        page.locator(".learning-player input").fill("1")
        page.locator("#context .switch input[value=cosine]").check()
        page.locator(".tokens-controls input").fill("1")
        page.locator("#path details").first.evaluate("each => each.open = true")
        before = settings_of(page)
        page.get_by_text("Dark", exact=True).click()
        assert settings_of(page) == before
        page.emulate_media(color_scheme="dark")
        assert settings_of(page) == before
        page.get_by_text("中文", exact=True).click()
        assert page.locator("#path h2").inner_text() == "路径"
        assert settings_of(page) == before
        assert page.locator("#tokens .piece.new").count() == 1
        assert reader.problems == []


def settings_of(page):
    """The places of all controls of the views, without those that only choose a token."""
    controls = page.locator("main input, main details")
    return controls.evaluate_all("all => all.map((each) => each.open ?? (each.type === 'range' ? each.value : each.checked))")


def test_the_line_can_be_read_and_set_by_keyboard(browser, exported):
    with reading(browser) as reader:
        page = reader.open(exported / "candidates.html").page
        page.locator("input[name=temperature]").fill("2")
        page.locator(".line-token.chosen").focus()
        first = page.locator(".hint").inner_text()
        page.keyboard.press("Home")
        assert page.locator(".hint").inner_text() != first
        page.keyboard.press("Enter")
        assert page.locator(".line-token").first.get_attribute("class").split()[-1] == "chosen"
        assert page.evaluate("document.activeElement.classList.contains('line-token')")
        assert page.locator(".line-token[tabindex='0']").count() == 1
        assert reader.problems == []


@pytest.mark.parametrize(
    ("name", "items"), [("vectors", ".vectors-numbers .number"), ("tokens", ".piece"), ("path", ".path [class^='path-']")]
)
def test_small_things_with_a_hint_are_one_stop_of_the_tab_key(browser, exported, name, items):
    with reading(browser) as reader:
        page = reader.open(exported / f"{name}.html").page
        stop = page.locator(f"{items}[tabindex='0']")
        assert stop.count() == 1
        stop.focus()
        first = page.locator(".hint").inner_text()
        page.keyboard.press("ArrowRight")
        assert page.locator(".hint").inner_text() != first
        assert stop.count() == 1
        assert reader.problems == []


def test_the_names_of_unlikely_tokens_are_on_the_line(browser, exported, views, tiny):
    with reading(browser) as reader:
        page = reader.open(exported / "candidates.html").page
        page.locator("input[name=temperature]").fill("2")
        page.locator("input[name=top_p]").fill("1")
        names = page.locator(".line-token").evaluate_all("all => all.map((each) => each.ariaLabel.split(': ')[0])")
        assert len(names) > 50 and not [name for name in names if name.startswith("id ")]
        assert reader.problems == []


def test_a_unit_that_few_know_says_what_it_is(browser, exported):
    with reading(browser) as reader:
        page = reader.open(exported / "lens.html").page
        page.locator(".explained", has_text="Nats").first.focus()
        assert "2.7" in page.locator(".hint").inner_text()


def test_a_token_chosen_by_keyboard_is_chosen_in_every_view(browser, exported):
    with reading(browser) as reader:
        page = reader.open(exported / "all.html").page
        strip = page.locator(".page-tokens [role=option]")
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.getAttribute('role')") == "option":
                break
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert [each.get_attribute("aria-selected") for each in strip.all()].index("true") == 2
        in_tokens = page.locator("#tokens [role=option]")
        assert [each.get_attribute("aria-selected") for each in in_tokens.all()].index("true") == 2
        in_tokens.nth(4).click()
        assert strip.nth(4).get_attribute("aria-selected") == "true"
        assert reader.problems == []


def test_the_sliders_give_the_numbers_of_the_engine(browser, exported, views, tiny):
    view = views["candidates"]
    settings = {"temperature": 1.4, "top_k": 12, "top_p": 0.85, "min_p": 0.02}
    with reading(browser) as reader:
        page = reader.open(exported / "candidates.html").page
        for name, value in settings.items():
            page.locator(f"input[name={name}]").fill(str(value))
        _, scores = view.under(tiny.tokenizer, **settings)
        rows = page.locator(".candidate-table tbody tr[data-id]")
        assert rows.count() >= 10
        for row, candidate in zip(rows.all(), scores.candidates, strict=False):
            assert int(row.get_attribute("data-id")) == candidate.token.id
            shown = row.locator("td").nth(2).inner_text()
            after = 0.0 if candidate.interval is None else candidate.interval[1] - candidate.interval[0]
            assert (0.0 if shown == "–" else float(shown.strip("<%")) / 100) == pytest.approx(after, abs=5e-4)
        page.get_by_text("As recorded").click()
        assert view.step.token is not None
        assert page.locator("tr.chosen").get_attribute("data-id") == str(view.step.token.id)
        assert reader.problems == []


def test_the_merges_go_step_by_step(browser, exported):
    with reading(browser) as reader:
        page = reader.open(exported / "tokens.html").page
        slider = page.locator(".tokens-controls input")
        last = page.locator(".tokens-step").inner_text()
        slider.focus()
        page.keyboard.press("Home")
        assert page.locator(".piece.new").count() == 0
        page.get_by_role("button", name="One step forward").click()
        assert page.locator(".piece.new").count() == 1
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("End")
        assert page.locator(".tokens-step").inner_text() == last
        assert reader.problems == []


def test_without_javascript_the_page_says_what_it_is(browser, exported):
    with reading(browser, java_script_enabled=False) as reader:
        reader.page.goto((exported / "all.html").as_uri())
        assert "JavaScript" in reader.page.locator("noscript").inner_text()


def test_a_view_that_could_not_be_made_is_listed_with_the_reason(browser, exported):
    with reading(browser) as reader:
        page = reader.open(exported / "all.html").page
        assert "a reason <b>in markup</b>" in page.locator("#missing").inner_text()
