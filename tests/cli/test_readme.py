"""The example of the README is what the command prints."""

import re
from pathlib import Path

from helpers.real_models import real_model

README = Path(__file__).parents[2] / "README.md"


def test_both_readmes_have_the_same_example():
    english, chinese = (README.with_name(name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
    assert _command(english) == _command(chinese)


def test_the_example_is_what_the_real_model_prints(liuli, data):
    page = README.read_text(encoding="utf-8")
    words = _command(page)
    assert words[1].startswith("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/")
    words[1] = str(real_model(data, "qwen2.5-coder-0.5b"))
    shown = re.search(r"The command above prints:\n\n```text\n(.*?)```", page, re.DOTALL)
    assert shown
    first, last = shown[1].split("...\n")
    result = liuli(*words, columns=80)
    assert result.code == 0
    assert " ".join(result.out.split()).startswith(" ".join(first.split()))
    printed = {line.rstrip() for line in result.out.splitlines()}
    assert {*first[first.index("step 1, ") :].splitlines()} <= printed  # with the same spaces
    assert last in result.out


def _command(page: str) -> list[str]:
    """The words of the first `liuli complete Qwen…`, without `liuli`."""
    found = re.search(r"^liuli (complete Qwen.*?)\n```", page, re.DOTALL | re.MULTILINE)
    assert found
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|([^\s\\]+)', found[1])]
