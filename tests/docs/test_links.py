"""Every relative link of the README, CONTRIBUTING.md and docs/*.md leads to a file, and to a heading if it names one."""

import re
from pathlib import Path

import pytest
from helpers.documented import PAGES, ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
IN_LINE = re.compile(r"`[^`\n]+`")


def anchors_of(path: Path) -> set[str]:
    """The headings as GitHub names them: lower case, without punctuation, with - for spaces."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    prose = IN_LINE.sub("", FENCED.sub("", (ROOT / page).read_text(encoding="utf-8")))
    for link in LINK.findall(prose):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        assert not anchor or anchor in anchors_of(target), f"{page} links to {link}"
