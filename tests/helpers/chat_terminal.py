"""`liuli chat` in a pseudo-terminal, as somebody uses it."""

import os
import re
import sys
from pathlib import Path

import pexpect

PROMPT = r"\n(\x1b\[\?2004h)?> $"  # readline asks for bracketed pastes first
MORE = "… $"
ESCAPES = r"\x1b\[[\d;?]*[a-zA-Z]"
PROGRESS = r"((starting|opening|reading|hashing) [^\n]*?\d:\d\d)+\n?"  # on a slow machine
PASTE = "\x1b[200~{}\x1b[201~"
LIBEDIT = Path("/usr/lib/x86_64-linux-gnu/libedit.so.2")


class ChatTerminal:
    """The command on a screen. `type` returns what came up to the next prompt; a prompt alone is what a test waits for.

    Args:
        state: the user's state folder. libedit: use it in place of readline.
    """

    def __init__(self, state: Path, *words: object, libedit: bool = False, columns: int = 200):
        code = "from liuli.cli.app import main; main()"
        words = ["-c", code, "chat", *map(str, words)]
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME", "OMP_NUM_THREADS") if name in os.environ}
        env = kept | {"TERM": "xterm", "LC_ALL": "C.UTF-8", "INPUTRC": "/dev/null", "XDG_STATE_HOME": str(state)}
        if libedit:
            env["LD_PRELOAD"] = str(LIBEDIT)
        self.screen = pexpect.spawn(sys.executable, words, env=env, encoding="utf-8", timeout=120, dimensions=(50, columns))
        self.greeting = self.until(PROMPT)

    def until(self, seen: str) -> str:
        self.screen.expect(seen)
        return _plain(self.screen.before + self.screen.after)

    def type(self, line: str, seen: str = PROMPT) -> str:
        self.screen.sendline(line)
        return self.until(seen).split("\n", 1)[1].removesuffix("> ")

    def ends(self) -> int | None:
        self.farewell()
        return self.screen.exitstatus

    def farewell(self) -> str:
        """What is still said until the command ends."""
        self.screen.expect(pexpect.EOF)
        self.screen.close()
        return _plain(self.screen.before)


def _plain(shown: str) -> str:
    return re.sub(PROGRESS, "", re.sub(ESCAPES, "", shown).replace("\r", ""))
