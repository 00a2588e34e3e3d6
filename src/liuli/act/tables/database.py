"""Where tables are while they are joined: a DuckDB database in a temporary folder, with a limit on memory.

DuckDB keeps what does not fit in that folder. It may open nothing else than this folder and the files that the user named, and
loads no extensions.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liuli.display import first_line
from liuli.errors import LiuliError
from liuli.units import byte_size

MEMORY = 2 << 30  # bytes that DuckDB may use; a model of 0.5 billion parameters may be in memory at the same time
THREADS = 4  # at most; each needs memory of its own
SETTINGS = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,  # a name in SQL is never a Python variable
}


class TableDatabase:
    """An empty database, to be used in a `with` statement. At its end the temporary folder is removed.

    Args:
        paths: the files outside of the folder that may be read or written.
        memory: bytes that the database may use. The process needs about 200 MB more.

    Raises:
        LiuliError: there is no space for the temporary folder.
    """

    def __init__(self, paths: Sequence[Path], memory: int = MEMORY):
        import duckdb

        self.memory = min(memory, _half_of_the_machine())
        try:
            self._temporary = tempfile.TemporaryDirectory(prefix="liuli-tables-")
        except OSError as error:
            raise LiuliError(f"no temporary folder can be created ({first_line(error)}): set TMPDIR to a folder") from None
        self.folder = Path(self._temporary.name)
        sizes: dict[str, Any] = {"memory_limit": f"{self.memory}B", "threads": min(THREADS, os.cpu_count() or 1)}
        spill = {"temp_directory": str(self.folder / "spill")}
        self._connection = duckdb.connect(str(self.folder / "tables.duckdb"), config=SETTINGS | sizes | spill)
        allowed = ", ".join(quoted_text(str(path.resolve())) for path in paths)
        self._connection.execute(f"SET allowed_paths = [{allowed}]")
        self._connection.execute(f"SET allowed_directories = [{quoted_text(str(self.folder))}]")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        self._relations = 0

    def __enter__(self) -> "TableDatabase":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._temporary.cleanup()

    def new_relation(self) -> str:
        """A name that no table has."""
        self._relations += 1
        return f"t{self._relations}"

    def link(self, path: Path, name: str) -> Path:
        """A link to a file in the database's folder. The file's own path may have characters that DuckDB reads as wildcards."""
        link = self.folder / name
        link.symlink_to(path.resolve())
        return link

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that a statement returns.

        Args:
            sql: written by this package alone. A foreign name or text in it is quoted, or given as one of `values`.

        Raises:
            LiuliError: memory or space on the disk is used up.
            duckdb.Error: everything else, such as a broken file.
        """
        import duckdb

        try:
            return self._connection.execute(sql, list(values)).fetchall()
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            if isinstance(error, duckdb.IOException) and "No space left" not in str(error):
                raise
            raise LiuliError(
                f"the tables need more than {byte_size(self.memory)} of memory, or more space than the temporary folder "
                f"{self.folder.parent} has: leave out columns that are not needed, or set TMPDIR to a folder with more space"
            ) from None


def quoted_text(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def _half_of_the_machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
