"""From typing the command to its first token, against what importing PyTorch alone takes.

    python benchmarks/startup.py [FOLDER]

Whole processes, alternating, medians of 7.
"""

import subprocess
import sys

from shared import SHARED, alternate, machine, seconds


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else str(SHARED / "data" / "models" / "stories260k")
    first = ["complete", folder, "Once", "--max-tokens", "1"]
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "liuli complete, first token": [sys.executable, "-c", "from liuli.cli.app import main; main()", *first],
        "liuli --help": [sys.executable, "-c", "from liuli.cli.app import main; main()", "--help"],
        "liuli tokenize": [sys.executable, "-c", "from liuli.cli.app import main; main()", "tokenize", folder, "Once"],
    }

    def run(words: list[str]) -> float:
        return seconds(lambda: subprocess.run(words, check=True, capture_output=True))

    found = alternate({name: lambda words=words: run(words) for name, words in commands.items()}, 7)
    print(machine())
    for name, time in found.items():
        print(f"{name:28} {time:6.3f} s  {time / found['import torch']:5.2f} times import torch")


if __name__ == "__main__":
    main()
