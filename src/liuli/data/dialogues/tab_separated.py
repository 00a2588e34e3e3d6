"""A `.txt` or `.tsv` file of dialogues: one per line, its turns separated by tabs, the user's first."""

from liuli.data.dialogues.layouts import DIALOGUE, Converted, of_turns
from liuli.data.records.problem import Problem
from liuli.data.records.readers import LineReader
from liuli.data.records.source_files import SourceFile
from liuli.data.records.utf8 import utf8_problem

MOST_TURNS = 100_000  # of one dialogue; each takes 300 bytes of memory


class TabSeparatedReader(LineReader[Converted]):
    """The dialogues of a file, each checked."""

    def __init__(self, file: SourceFile):
        super().__init__(file, DIALOGUE)

    def _of_line(self, line: bytes) -> Converted | Problem:
        if line.count(b"\t") >= MOST_TURNS:
            return Problem("a dialogue with too many turns", f"more than {MOST_TURNS:,}", "split it into several dialogues")
        try:
            turns = line.decode().rstrip("\r\n").split("\t")
        except UnicodeDecodeError as error:
            return utf8_problem(line, error)
        if len(turns) == 1:
            return Problem("a line with only one turn", advice="separate the turns of a dialogue with tabs")
        return of_turns("tab-separated turns", turns)
