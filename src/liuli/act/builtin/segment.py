"""Words of a text for a full-text index, so that Chinese is found.

SQLite's tokenizer splits at spaces and punctuation, so a whole Chinese clause would be one word. Here a run of Chinese (or of
kana) becomes all its pairs of neighbouring characters, and its single characters, which a query uses only if it is one
character long. `benchmarks/search.py` compares this with four other ways.
"""

import re
import unicodedata

MOST_WORDS = 64  # of a query
CHINESE = r"\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # and kana
RUN = re.compile(rf"([{CHINESE}]+)|((?:(?![{CHINESE}])[^\W_])+)")


def words_of(text: str) -> list[str]:
    """All words of a text that is indexed."""
    words: list[str] = []
    for chinese, other in _runs(text):
        words += [other] if other else [*chinese, *_pairs(chinese)]
    return words


def words_of_query(query: str) -> list[str]:
    """The words that a query looks for, each once, at most `MOST_WORDS`. They consist of letters and digits only."""
    words: list[str] = []
    for chinese, other in _runs(query):
        words += [other] if other else _pairs(chinese) or [chinese]
    return list(dict.fromkeys(words))[:MOST_WORDS]


def _runs(text: str) -> list[tuple[str, str]]:
    """Runs of Chinese characters, and of other letters and digits. Full-width letters become ordinary ones."""
    return RUN.findall(unicodedata.normalize("NFKC", text).casefold())


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]
