"""Several lines that are pasted into a chat are one message, with readline and with libedit."""

import json

import pytest
from helpers import talking
from helpers.chat_terminal import LIBEDIT, PASTE, PROMPT, ChatTerminal

LINES = "一\r/quit\rthree"  # a terminal sends Enter for a line break


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return talking.save(tmp_path_factory.mktemp("talking") / "model", context=1024)


@pytest.mark.parametrize("libedit", [False, True], ids=["readline", "libedit"])
def test_a_paste_is_one_message(model, tmp_path, libedit):
    if libedit and not LIBEDIT.exists():
        pytest.skip("needs libedit")
    terminal = ChatTerminal(tmp_path, model, libedit=libedit)
    for typed in ("", "see: "):
        terminal.screen.send(typed + PASTE.format(LINES))
        terminal.type(" end")
    terminal.type(PASTE.format("one word"))
    terminal.screen.send(PASTE.format(LINES))
    terminal.until("three")
    terminal.screen.sendintr()
    terminal.until(PROMPT)
    terminal.type(f"/save {tmp_path}/a.jsonl")
    messages = json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))["messages"]
    lines = LINES.replace("\r", "\n")
    asked = [message["content"] for message in messages if message["role"] == "user"]
    assert asked == [f"{lines} end", f"see: {lines} end", "one word"]
    terminal.screen.sendline("/quit")
    assert terminal.ends() == 0
