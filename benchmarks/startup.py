"""From typing the command to its first token, against what importing PyTorch alone takes.

    python benchmarks/startup.py [MODEL]

MODEL is a folder or a GGUF file. Whole processes, alternating, medians of 7.
"""

import subprocess
import sys

from shared import SHARED, alternate, machine, seconds

# As the `liuli` script does; -P keeps the current folder off `sys.path`.
LIULI = (sys.executable, "-P", "-c", "from liuli.cli.app import main; main()")


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else str(SHARED / "data" / "models" / "stories260k")
    first = ["complete", model, "Once", "--max-tokens", "1"]
    commands = {
        "import torch": [sys.executable, "-P", "-c", "import torch"],
        "liuli complete, first token": [*LIULI, *first],
        "liuli --help": [*LIULI, "--help"],
        "liuli tokenize": [*LIULI, "tokenize", model, "Once"],
    }

    def run(words: list[str]) -> float:
        return seconds(lambda: subprocess.run(words, check=True, capture_output=True))

    found = alternate({name: lambda words=words: run(words) for name, words in commands.items()}, 7)
    print(machine())
    for name, time in found.items():
        print(f"{name:28} {time:6.3f} s  {time / found['import torch']:5.2f} times import torch")


if __name__ == "__main__":
    main()
