"""The sandboxed process: it imports from named files only, wherever it is started, and ends at its limits."""

import json
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import jinja2
import markupsafe
import pytest
import tokenizers
from helpers import pairs

import liuli as package
from liuli.errors import LiuliError
from liuli.tokens import open_tokenizer
from liuli.tokens.chat.chat import Chat
from liuli.tokens.sandbox.process import SandboxedProcess, StoppedError

MEMORY = 1 << 30
HOSTILE = (
    "tokenizers.py", "jinja2.py", "markupsafe.py", "json.py", "resource.py", "importlib.py", "sitecustomize.py",
    "usercustomize.py", "liuli/__init__.py", "typer.py", "rich.py", "torch.py",
)  # fmt: skip
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
# What the `liuli` script does: its `sys.path` holds the script's folder, which -P leaves out here, and not the current one.
LIULI = [sys.executable, "-P", "-c", "from liuli.cli.app import main; main()"]


def fill_with_hostile_modules(folder: Path, marker: Path) -> None:
    """Modules that leave a mark when they run."""
    for name in HOSTILE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"open({str(marker)!r}, 'a').write({name!r} + '\\n')\nraise SystemExit('hostile')\n")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A chat model with a template that is not ours, in a folder full of hostile modules."""
    base = pairs.save_base(tmp_path_factory.mktemp("base"))
    folder = pairs.save_assistant(tmp_path_factory.mktemp("hostile"), base)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": TEMPLATE}), encoding="utf-8")
    # A foreign pattern has the tokenizer tried in a sandbox too.
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] += "|[a-c]+"
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    fill_with_hostile_modules(folder, folder / "ran")
    talk = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    (folder / "talks.jsonl").write_text(json.dumps(talk) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("words", [["chat", "."], ["tokenize", ".", "--chat", "talks.jsonl"], ["tokenize", ".", "abc"]])
def test_commands_run_nothing_from_the_current_folder(model, words):
    ran = subprocess.run([*LIULI, *words], cwd=model, input="hello\n", capture_output=True, text=True, timeout=120)
    assert not (model / "ran").exists(), (model / "ran").read_text()
    assert ran.returncode == 0 and ran.stdout and "Error" not in ran.stderr, ran.stderr


def test_the_process_ignores_the_environment_of_python(model, monkeypatch):
    """Relative and empty entries of PYTHONPATH, and a user site, which Python would read again in a new process."""
    user_site = Path(site.getusersitepackages()).relative_to(Path(site.getuserbase()))
    fill_with_hostile_modules(model / "user" / user_site, model / "ran")
    monkeypatch.chdir(model)
    for name, value in (("PYTHONPATH", ":."), ("PYTHONUSERBASE", str(model / "user")), ("HOME", str(model))):
        monkeypatch.setenv(name, value)
    tokenizer = open_tokenizer(".")
    assert Chat.open(Path("."), tokenizer).prompt([{"role": "user", "content": "a"}])
    assert not (model / "ran").exists(), (model / "ran").read_text()


def test_the_process_runs_the_same_liuli_from_a_copy_that_is_installed_nowhere(model, tmp_path):
    """As from a wheel, or a source tree on PYTHONPATH: the program that answers is the copy's own."""
    shutil.copytree(Path(str(package.__file__)).parent, tmp_path / "liuli", ignore=shutil.ignore_patterns("__pycache__"))
    render = tmp_path / "liuli" / "tokens" / "chat" / "render.py"
    render.write_text(render.read_text(encoding="utf-8").replace("takes too much memory", "of the copy"), encoding="utf-8")
    code = (
        "import sys; from pathlib import Path\n"
        "from liuli.tokens import open_tokenizer; from liuli.tokens.chat.chat import Chat\n"
        "chat = Chat.open(Path(sys.argv[1]), open_tokenizer(sys.argv[1]))\n"
        "print(chat.tokenizer.decode(chat.prompt([{'role': 'user', 'content': 'a'}]), special=True))\n"
        "from liuli.tokens.chat.sandbox import Renderer\n"
        "Renderer('{{ \"a\" * 99999999999 }}', {}).render([((), (), True)])"
    )
    paths = os.pathsep.join([str(tmp_path), *(str(Path(path).resolve()) for path in sys.path if path)])
    ran = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code, str(model)], capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert ran.stdout == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n\n"
    assert "LiuliError: the chat template of the copy" in ran.stderr


def program(folder: Path, body: str) -> SandboxedProcess:
    (folder / "program.py").write_text(body)
    return SandboxedProcess(folder / "program.py", [markupsafe, jinja2, tokenizers], MEMORY)


def test_the_process_has_only_the_standard_library_and_what_it_is_given(tmp_path):
    body = (
        "import os, sys, jinja2, tokenizers\n"
        "def answer(question):\n"
        "    return [sys.path, os.getcwd(), 'site' in sys.modules, jinja2.__file__, tokenizers.__file__, question]\n"
    )
    path, folder, has_site, jinja2_file, tokenizers_file, question = program(tmp_path, body).ask({"a": "今\ud800"}, 30)
    assert all(Path(entry).is_absolute() and "site-packages" not in entry for entry in path)
    assert str(tmp_path) not in path and str(Path(str(package.__file__)).parents[1]) not in path
    assert (folder, has_site, question) == ("/", False, {"a": "今\ud800"})
    assert jinja2_file == str(Path(str(jinja2.__file__)).resolve())
    assert tokenizers_file == str(Path(str(tokenizers.__file__)).resolve())


def test_a_process_that_is_late_or_dies_is_replaced(tmp_path):
    body = (
        "import os, time\n"
        "def answer(question):\n"
        "    if question == 'sleep': time.sleep(600)\n"
        "    if question == 'die': os.abort()\n"
        "    if question == 'take': return len(bytearray(2 << 30))\n"
        "    return os.getpid()\n"
    )
    process = program(tmp_path, body)
    first = process.ask("", 30)
    assert process.ask("", 30) == first
    for question, seconds, late in (("sleep", 0.3, True), ("die", 30, False), ("take", 30, False)):
        with pytest.raises(StoppedError) as caught:
            process.ask(question, seconds)
        assert caught.value.late == late
        assert process.ask("", 30) != first
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_question_that_is_never_read_has_a_time_limit_too(tmp_path):
    body = "import sys, time\nsys.stdin = None\nprint('ready', flush=True)\ntime.sleep(600)\n"
    with pytest.raises(StoppedError, match="too long"):
        program(tmp_path, body).ask("x" * 10_000_000, 0.5)


def test_a_process_that_does_not_start_says_why(tmp_path):
    with pytest.raises(LiuliError, match=r"could not start \(ModuleNotFoundError: No module named 'torch'\)"):
        program(tmp_path, "import torch\n").ask("", 30)
