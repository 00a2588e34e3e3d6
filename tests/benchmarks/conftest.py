"""The benchmarks that others are measured by are tested too; they are scripts, so their folder has to be found."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
