"""The drawing code of the views: `ui/`, built into `liuli/static` when the package is built (`hatch_build.py`)."""

from pathlib import Path

import liuli
from liuli.errors import LiuliError

STATIC = Path(liuli.__file__).parent / "static"
SCRIPT, STYLE = "views.js", "views.css"
NOT_BUILT = (
    "the drawing code is not built: install Node.js (npm), then install Liuli from its folder again (pip install -e .); "
    "everything except --html works without it"
)


def check_built() -> None:
    """Raises LiuliError: the drawing code is not built."""
    if not all((STATIC / name).is_file() for name in (SCRIPT, STYLE)):
        raise LiuliError(NOT_BUILT)


def drawing_code() -> tuple[str, str]:
    """The script and the style sheet. Neither contains the end tag of its element.

    Raises:
        LiuliError: the drawing code is not built.
    """
    check_built()
    script, style = ((STATIC / name).read_text(encoding="utf-8") for name in (SCRIPT, STYLE))
    assert "</script" not in script.lower() and "<!--" not in script and "</style" not in style.lower()
    return script, style
