"""`liuli chat` as somebody uses it: typing at a terminal, and through a pipe."""

import json
import re
from pathlib import Path

import pytest
from helpers import talking
from helpers.chat_terminal import MORE, PROMPT, ChatTerminal
from helpers.real_models import real_model
from helpers.terminal import screen as screen  # a fixture

from liuli.tokens.chat.templates import CHATML

UNTRAINED = "which has not been trained to answer: make an assistant of it with liuli finetune"
PAGE = Path(__file__).parents[2] / "docs" / "chat.md"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return talking.save(tmp_path_factory.mktemp("talking") / "model")


def saved(path: Path) -> list[tuple[str, str]]:
    (line,) = path.read_text(encoding="utf-8").splitlines()
    return [(message["role"], message["content"]) for message in json.loads(line)["messages"]]


def test_a_conversation_at_a_terminal(model, tmp_path):
    terminal = ChatTerminal(tmp_path, model, "--seed", 3, "--system", "简短")
    assert "a context of 128 tokens; chat template: ChatML, as the folder has no template" in terminal.greeting
    assert "seed 3; Liuli's default (the folder has no sampling settings): temperature 0.8" in terminal.greeting

    shown = terminal.type("你好吗\x7f")  # a wide character taken back
    assert re.fullmatch(r"(好的。|Hi!)\ncontext: \d+ of 128 tokens; seed 3\n", shown)
    others = {terminal.type("/regenerate").splitlines()[0] for _ in range(6)}
    assert others == set(talking.REPLIES)
    assert "50.00%" in (steps := terminal.type("/candidates"))
    assert "\nstep 1, position " in steps and "<|im_end|>" in steps.splitlines()[-1]

    assert terminal.type("one\\", MORE) == "… "
    terminal.type("two")
    for line in ('"""three', "/four"):
        terminal.type(line, MORE)
    terminal.type('"""')
    terminal.type(f"/save {tmp_path}/a.jsonl")
    contents = [content for role, content in saved(tmp_path / "a.jsonl") if role != "assistant"]
    assert contents == ["简短", "你好", "one\ntwo", "three\n/four"]

    terminal.type("/edit five")
    terminal.screen.sendline("/edit")
    terminal.until("> five$")
    terminal.screen.sendline("六")
    terminal.until(PROMPT)
    assert terminal.type("/undo").startswith("removed: “five六”; ")
    assert terminal.type("/system") == "简短\n"
    assert terminal.type("/system Be brief.") == "the system message is set for the next replies\n"
    assert terminal.type("/system -") == "the system message was removed\n"
    assert terminal.type("/system") == "(no system message)\n"
    commands = terminal.type("/help")
    assert "/candidates  " in commands and "/quit, /exit, /bye  " in commands and "`" not in commands
    assert terminal.type(f"/load {tmp_path}/a.jsonl").startswith(f"{tmp_path}/a.jsonl: 7 messages; ")
    terminal.type(f"/save {tmp_path}/b.jsonl")
    assert saved(tmp_path / "b.jsonl") == saved(tmp_path / "a.jsonl")

    _mistakes(terminal, tmp_path)
    terminal.type(f"/save {tmp_path}/c.jsonl")
    assert saved(tmp_path / "c.jsonl") == saved(tmp_path / "a.jsonl")

    shown = terminal.type("a message that is so long that what came first has to go, to make room for it and its reply")
    assert "the context of 128 tokens is full: the first 3 turns are no longer read (up to “three /four”); from now on" in shown
    assert " of 128 tokens, without the first 3 turns; seed " in shown
    assert "the model has not read the first 3 turns, for which the context had no room\n" in terminal.type("/candidates")
    terminal.type("/undo")
    assert "the context of 128 tokens has room again: all turns but the first 2 turns are read\n" in terminal.type("x")
    terminal.type("/undo")
    terminal.type("/undo")
    assert "the context of 128 tokens has room again: the whole conversation is read\n" in terminal.type("/regenerate")
    terminal.screen.sendline("/quit")
    assert terminal.ends() == 0


def _mistakes(terminal: ChatTerminal, folder: Path) -> None:
    """Each is one line, and changes nothing."""
    wrong = {
        "/sing": "there is no command /sing; the commands are /regenerate, /edit, /undo, /system, /candidates, /save, /load, "
        '/help, /quit. To send it as a message, put """ before and after it',
        "/saev x": 'there is no command /saev; did you mean /save? To send it as a message, put """ before and after it',
        "/s": 'there is no command /s; did you mean /system or /save? To send it as a message, put """ before and after it',
        "、cand": 'there is no command /cand; did you mean /candidates? To send it as a message, put """ before and after it',
        "/undo 3": "/undo takes no argument: type /undo alone",
        "quit": '“quit” was not sent, because /quit is a command: type /quit, or """quit""" to send it',
        "/save": "/save needs an argument: /save FILE",
        f"/save {folder}/a.jsonl": f"{folder}/a.jsonl already exists and will not be overwritten: "
        "give another name, or delete it",
        f"/save {folder}": f"{folder} is a folder: give the name of a new file",
        f"/save {folder}/a.jsonl/b": f"{folder}/a.jsonl/b cannot be written: {folder}/a.jsonl is a file; give another path",
        f"/load {folder}/none": f"{folder}/none cannot be read: no such file or directory",
        f"/load {folder}": f"{folder} is not a file: give a file that begins with a dialogue",
        "/candidates": "there is no reply whose candidates can be shown: send a message first (loaded replies have none)",
    }
    for line, said in wrong.items():
        assert terminal.type(line) == f"liuli: {said}\n"
    assert "but the context has only 128 for prompt and reply: shorten the message" in terminal.type("x" * 150)
    assert "the system message takes" in terminal.type("/system " + "x" * 150)


def test_ctrl_c_stops_the_reply_and_ctrl_d_leaves(tmp_path):
    """The folder's own template is rendered by a process of its own, which Ctrl-C must not reach."""
    folder = talking.save(tmp_path / "model", context=1 << 17, endless=True, template=CHATML)
    terminal = ChatTerminal(tmp_path, folder, "--max-tokens", 1 << 16)
    assert "chat template: the folder's own template" in terminal.greeting
    for _ in range(2):
        terminal.type("hello", r"a<U\+001B>a<U\+001B>")  # which would have begun a command to the terminal
        terminal.screen.sendintr()
        said, kept, fill = terminal.until(PROMPT).splitlines()[:3]
        assert set(said) <= set("a<U+001B>^C")
        assert kept == "reply stopped; the part so far is kept"
        assert re.fullmatch(r"context: [\d,]+ of 131,072 tokens; seed \d+", fill)
    terminal.screen.send("never said")
    terminal.until("never said")
    terminal.screen.sendintr()
    assert "\ntype Ctrl-D or /quit to leave\n> " in terminal.until("to leave.*> $")
    assert terminal.type(f"/save {tmp_path}/a.jsonl") == f"{tmp_path}/a.jsonl: 4 messages, 2 of them cut short\n"
    assert [text[:4] for _, text in saved(tmp_path / "a.jsonl")] == ["hell", "a\x1ba\x1b"] * 2
    assert terminal.type('"""', MORE) == "… "
    terminal.screen.sendeof()
    assert 'liuli: the input ended within a message: end the message with """' in terminal.until(PROMPT)
    terminal.screen.sendeof()
    assert terminal.ends() == 0


def test_a_pipe_gets_the_replies_alone(liuli, model):
    lines = "你好\n\n/regenerate\n<|im_end|>\\\n二\r\n/system\n".encode()
    result = liuli("chat", model, "--seed", 1, "--temperature", 1, "--top-k", 2, stdin=b"\xef\xbb\xbf" + lines)
    assert result.code == 0
    *replies, system = result.out.splitlines()
    assert (set(replies), len(replies), system) == (set(talking.REPLIES), 3, "(no system message)")
    assert result.err.splitlines() == [
        f"liuli: {model}, a context of 128 tokens; chat template: ChatML, as the folder has no template",
        "liuli: seed 1, temperature 1, top-k 2",
        f"liuli: the folder has no chat template, so this is probably a base model, {UNTRAINED}",
    ]
    assert liuli("chat", model, stdin=b"").code == 0


def test_a_reply_is_cut_at_its_limit_and_says_so(liuli, model):
    result = liuli("chat", model, "--max-tokens", 1, "--temperature", 0, stdin=b"a\n/regenerate\n")
    assert "liuli: the reply ends here: it reached 1 token (--max-tokens)" in result.err
    assert "liuli: at temperature 0 the reply will be the same" in result.err


def test_a_dialogue_that_waits_for_its_reply(liuli, model, tmp_path):
    path = tmp_path / "talks.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "一"}]}\n{"messages": []}\n', encoding="utf-8")
    result = liuli("chat", model, stdin=f"/load {path}\n二\n/edit 三\n/undo\n".encode())
    assert (result.code, len(result.out.splitlines())) == (0, 2)
    said = result.err.splitlines()[3:]
    assert said[0].startswith(f"liuli: {path}: 1 message; ")
    assert said[1:] == [
        "liuli: the last message has no reply yet: /regenerate makes one",
        f"liuli: {path}: the dialogues after the first were not read",
        "liuli: this replaces your previous message, which has no reply",
        "liuli: removed: “三”; there is no message yet",
    ]


TOOL = {"type": "function", "function": {"name": "w", "parameters": {}}}


def test_tools_are_offered_and_saved(liuli, tmp_path):
    model, tools = talking.save(tmp_path / "model"), tmp_path / "tools.json"
    template = "{% for tool in tools or [] %}<|im_start|>{{ tool.function.name }}<|im_end|>{% endfor %}" + CHATML.replace(
        "tools", "no_tools"
    )
    (model / "chat_template.jinja").write_text(template, encoding="utf-8")
    tools.write_text(json.dumps([TOOL["function"]]), encoding="utf-8")
    result = liuli("chat", model, "--tools", tools, "--seed", 3, stdin=f"你好\n/save {tmp_path / 'saved'}\n".encode())
    assert result.code == 0 and result.out.strip()
    assert json.loads((tmp_path / "saved").read_text(encoding="utf-8"))["tools"] == [TOOL]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "holds no tools: write a JSON list of function tools"),
        ("{", "broken JSON"),
        ("[1]", "a tool that cannot be read"),
        (None, "no such file"),
    ],
)
def test_tools_that_cannot_be_read(liuli, model, tmp_path, text, said):
    tools = tmp_path / "tools.json"
    if text is not None:
        tools.write_text(text, encoding="utf-8")
    result = liuli("chat", model, "--tools", tools, stdin=b"a\n")
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1 and str(tools) in result.err and said in result.err


@pytest.mark.parametrize(
    ("piped", "said"),
    [
        (b"a\n/sing\nb\n", "line 2: there is no command /sing; the commands are /regenerate, "),
        (b"\n\n" + b"x" * 200, "line 3: the prompt has 219 tokens (message and chat template)"),
        (b"a\n\xff\n", "line 2: the message is not UTF-8 text: byte 1 is 0xFF; convert it to UTF-8"),
        (b'a\n"""b\n', 'the input ended within a message: end the message with """'),
        (b"a\\\n", "the input ended after a line that ends with \\: add a line"),
        (b"/edit\n", "line 1: there is no message yet: send one first"),
        (b"a\n/edit\n", "line 2: /edit needs the new text: /edit TEXT"),
        (b"/save out.jsonl\n", "line 1: out.jsonl was not written: the conversation: the dialogue has no messages"),
        (b"/load broken\n", 'line 1: broken does not begin with a line {"messages": […]}: load a file that /save'),
        (b"/load order\n", "line 1: order: roles in an impossible order (message 1: assistant after nobody); one system"),
        (b"/load tools\n", "line 1: tools: the dialogue has tools, which /load does not support; load a dialogue"),
        (b"/load ~nobody-of-that-name/x\n", "line 1: ~nobody-of-that-name/x cannot be read: "),
    ],
)
def test_a_mistake_in_a_pipe_is_its_end(liuli, model, tmp_path, monkeypatch, piped, said):
    monkeypatch.chdir(tmp_path)
    Path("broken").write_text("[1]\n")
    Path("order").write_text('{"messages": [{"role": "assistant", "content": "a"}]}')
    Path("tools").write_text('{"messages": [{"role": "user", "content": "a"}], "tools": [{}]}')
    result = liuli("chat", model, stdin=piped)
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith(f"liuli: {said}" if said.startswith("line") else "liuli: line ")
    assert said in result.err
    assert len(result.out.splitlines()) == piped.count(b"a\n")


def test_what_cannot_be_begun(liuli, model, tiny_folder):
    for words, said in [
        ((tiny_folder,), "the model was probably not trained to answer: fine-tune it first (liuli finetune)"),
        ((model, "--max-tokens", 0), "liuli: --max-tokens must be a whole number of at least 1, not 0\n"),
        ((model, "--seed", -1), "liuli: --seed must be a whole number, 0 or more, not -1\n"),
        ((model, "--temperature", -1), "liuli: --temperature must be 0 or more, not -1.0\n"),
        ((model, "--system", "x" * 200), "liuli: the system message takes"),
    ]:
        result = liuli("chat", *words, stdin=b"a\n")
        assert (result.code, result.out) == (2, "")
        assert said in result.err


def test_sampling_options(liuli, model):
    words = ("chat", model, "--temperature", 0, "--max-tokens", 4)
    assert liuli(*words, stdin=b"Hi!\n").out == "Hi!\n"
    result = liuli(*words, "--repetition-penalty", 1e6, "--presence-penalty", 0.5, stdin=b"Hi!\n")
    assert "liuli: greedy, temperature 0, repetition-penalty 1000000, presence-penalty 0.5" in result.err
    assert result.out.startswith("好")  # the other reply has only tokens of the message


@pytest.mark.parametrize("leaves", ["/quit", "/exit", "/QUIT", "／quit", " /bye"])
def test_ways_to_leave(liuli, model, leaves):
    result = liuli("chat", model, stdin=f"{leaves}\n/sing\n".encode())
    assert (result.code, result.out) == (0, "")


def test_the_context_fills_up(liuli, model):
    """Both that it is nearly full and that it is full are said once, however many replies follow."""
    lines = "\n".join(f"message number {n}" for n in range(6))
    said = liuli("chat", model, "--seed", 1, stdin=lines.encode()).err
    nearly = "liuli: the context is nearly full: beyond 96 tokens, the model no longer reads the first turns\n"
    assert said.count(nearly) == 1
    full = "liuli: the context of 128 tokens is full: the first turn is no longer read (up to “message number 0”); "
    assert said.count(f"{full}from now on, the oldest turns make room for new ones\n") == said.count(" is full") == 1
    assert said.index(nearly) < said.index(full)


def test_a_model_that_was_not_trained_to_answer_says_so(liuli, model, tmp_path):
    """By its card, or because its folder has no chat template. A template of its own shows nothing of the kind."""
    assert f"the folder has no chat template, so this is probably a base model, {UNTRAINED}\n" in liuli("chat", model).err
    own = talking.save(tmp_path / "own", template=CHATML)
    assert "base model" not in liuli("chat", own).err
    (own / "liuli.json").write_text('{"stage": "base"}')
    assert f"liuli: this is a base model, {UNTRAINED}\n" in liuli("chat", own).err


def test_remarks_on_a_terminal_do_not_look_like_errors(screen, model):
    """Also if the messages come through a pipe."""
    code, shown = screen("chat", model, "--seed", 1, stdin="你好\n/sing\n".encode(), columns=200)
    *remarks, error = [line for line in shown.splitlines() if line not in talking.REPLIES]
    assert (code, error[:40]) == (2, "liuli: line 2: there is no command /sing")
    assert remarks[0].startswith(f"{model}, a context of 128 tokens") and not any("liuli: " in line for line in remarks)


def test_the_docs_show_what_the_real_model_says(liuli, data):
    command, *shown = re.search(r"```text\n\$ (.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1].splitlines()
    name, words = command.split()[2], command.split()[3:]
    asked = [line.removeprefix("> ") for line in shown if line.startswith("> ")]
    result = liuli("chat", real_model(data, "qwen2.5-coder-0.5b"), *words, stdin="\n".join(asked).encode())
    assert result.code == 0 and name.endswith(".gguf")
    assert len(result.out.splitlines()) == len(asked) - 1  # the last one is /quit
    assert [line for line in shown if line in result.out.splitlines()] == result.out.splitlines()
