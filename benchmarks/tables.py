"""Which library reads and joins tables: DuckDB, pyarrow or pandas; and Liuli's own path, from two CSV files to one.

    python benchmarks/tables.py [--rows 10000000] [--hostile]

Both tables have that many rows; nine of ten keys are in both. Every measurement is a process of its own: seconds without the
import, and the peak memory of the process in MB (DuckDB's limit is 3 GB, so that a process stays within 4). The result of a
join is written to a Parquet file. --hostile shows what each library says about files that are made to break it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ENGINES = ("duckdb", "pyarrow", "pandas")
KEYS = {"integers": "id", "texts": "code"}
HOWS = {"inner": "inner", "outer": "full outer"}
READS = {"CSV": "csv", "JSON lines": "jsonl", "Parquet": "parquet"}
PATIENCE = 1800  # seconds


def duckdb_connection(folder: Path, memory: str = "3GB") -> Any:
    import duckdb

    return duckdb.connect(str(folder / "work.duckdb"), config={"memory_limit": memory, "temp_directory": str(folder / "spill")})


def make_tables(folder: Path, rows: int) -> None:
    """a.* and b.*: an integer key, a text key, and a number. The rows of b are in another order."""
    connection = duckdb_connection(folder)
    for name, shift, step in (("a", 0, 1), ("b", rows // 10, 7919)):
        place = f"(i * {step}) % {rows} + {shift}"
        columns = f"{place} AS id, 'K' || lpad(({place})::VARCHAR, 11, '0') AS code, i / 7 AS {name}"
        connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM range({rows}) t(i)")
        for suffix, how in (("csv", "FORMAT csv"), ("jsonl", "FORMAT json"), ("parquet", "FORMAT parquet")):
            connection.execute(f"COPY {name} TO '{folder}/{name}.{suffix}' ({how})")
    connection.close()
    (folder / "work.duckdb").unlink()


# One measurement, in a process of its own


def read(engine: str, path: Path, folder: Path) -> int:
    """Reads a whole file into the library's own table. Returns how many rows there are."""
    if engine == "duckdb":
        kind = {"csv": "csv", "jsonl": "json", "parquet": "parquet", "json": "json"}[path.suffix[1:]]
        connection = duckdb_connection(folder)
        connection.execute(f"CREATE TABLE t AS SELECT * FROM read_{kind}(?)", [str(path)])
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]
    if engine == "pyarrow":
        return len(_arrow(path))
    return len(_pandas(path))


def join(engine: str, folder: Path, key: str, how: str) -> int:
    """Joins a.parquet and b.parquet, and writes out.parquet. Returns how many rows there are."""
    out = folder / "out.parquet"
    left, right = folder / "a.parquet", folder / "b.parquet"
    if engine == "duckdb":
        connection = duckdb_connection(folder)
        kept = "b.code AS code_b" if key == "id" else "b.id AS id_b"
        query = f"SELECT a.*, {kept}, b.b FROM '{left}' a {HOWS[how]} JOIN '{right}' b USING ({key})"
        connection.execute(f"COPY ({query}) TO '{out}' (FORMAT parquet)")
        return connection.execute(f"SELECT count(*) FROM '{out}'").fetchone()[0]
    if engine == "pyarrow":
        import pyarrow.parquet as pq

        joined = _arrow(left).join(_arrow(right), key, join_type=HOWS[how], right_suffix="_b")
        pq.write_table(joined, out)
        return len(joined)
    joined = _pandas(left).merge(_pandas(right), on=key, how=how, suffixes=("", "_b"))
    joined.to_parquet(out)
    return len(joined)


def join_with_liuli(folder: Path, key: str, how: str) -> int:
    """From two CSV files to a CSV file: reading, the report and the join, as `liuli join` does it without the model."""
    from liuli.act.tables.database import TableDatabase
    from liuli.act.tables.join import join_tables
    from liuli.act.tables.open import open_tables
    from liuli.act.tables.plan import JoinPlan
    from liuli.act.tables.write import write_table
    from liuli.output_paths import part_of

    paths, out = [folder / "a.csv", folder / "b.csv"], folder / "out.csv"
    with TableDatabase([*paths, part_of(out)]) as database:
        left, right = open_tables(database, paths)
        joined, report = join_tables(database, left, right, JoinPlan((key,), how))
        write_table(database, joined, out)
    return report.rows


def _arrow(path: Path) -> Any:
    from pyarrow import csv, json, parquet

    readers: dict[str, Callable[[Path], Any]] = {".csv": csv.read_csv, ".jsonl": json.read_json, ".parquet": parquet.read_table}
    return readers.get(path.suffix, json.read_json)(path)


def _pandas(path: Path) -> Any:
    import pandas

    if path.suffix == ".csv":
        return pandas.read_csv(path)
    return pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_json(path, lines=path.suffix == ".jsonl")


def measure(words: list[str]) -> dict[str, Any]:
    """Runs this file's own work in this process, and measures it."""
    task, engine, *rest = words
    folder = Path(rest[0])
    began = time.perf_counter()
    if task == "import":
        __import__(engine)
        if engine == "pyarrow":
            __import__("pyarrow.parquet")
        rows = 0
    else:
        if engine != "liuli":
            __import__(engine)
        began = time.perf_counter()
        if task == "read":
            rows = read(engine, folder / rest[1], folder)
        else:
            rows = join_with_liuli(folder, *rest[1:]) if engine == "liuli" else join(engine, folder, *rest[1:])
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) >> 10
    return {"seconds": time.perf_counter() - began, "peak": peak, "rows": rows}


def apart(*words: object) -> dict[str, Any]:
    """The same in a new process; `error`: what it died of."""
    command = [sys.executable, __file__, "--measure", *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return {"error": f"more than {PATIENCE} s"}
    if done.returncode:
        raised = [line for line in done.stderr.splitlines() if re.match(r"[\w.]+: ", line)]  # the last line may be an excerpt
        return {"error": f"signal {-done.returncode}" if done.returncode < 0 else (raised or [""])[-1][:160]}
    return json.loads(done.stdout)


def shown(found: dict[str, Any]) -> str:
    if "error" in found:
        return found["error"]
    return f"{found['seconds']:7.2f} s {found['peak']:6,} MB" + (f" {found['rows']:,} rows" if found["rows"] else "")


def compare(rows: int) -> None:
    from shared import machine  # not in the processes that are measured: it imports PyTorch

    print(f"{machine()}; {rows:,} rows")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tables(folder, rows)
        for engine in ENGINES:
            print(f"{'import':32}{engine:9}{shown(apart('import', engine, folder))}", flush=True)
        for what, suffix in READS.items():
            for engine in ENGINES:
                print(f"{'read ' + what:32}{engine:9}{shown(apart('read', engine, _clean(folder), f'a.{suffix}'))}", flush=True)
        for what, key in KEYS.items():
            for how in HOWS:
                for engine in (*ENGINES, "liuli"):
                    found = shown(apart("join", engine, _clean(folder), key, how))
                    print(f"{f'{how} join on {what}':32}{engine:9}{found}", flush=True)


def _clean(folder: Path) -> Path:
    """Without what an earlier measurement left."""
    for path in [*folder.glob("out.*"), *folder.glob("work.duckdb*")]:
        path.unlink()
    return folder


HOSTILE: dict[str, bytes] = {
    "deep.json": b'[{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}]",
    "cut.jsonl": b'{"a": 1}\n{"a": 2',
    "ragged.csv": b"a,b\n1,2\n3\n",
    "quote.csv": b'a,b\n1,"2\n3,4\n',
    "utf8.csv": b"a,b\n1,\xff\xfe\n",
    "zeros.csv": b"a,b\n000001,x\n000002,y\n",
    "noise.parquet": b"PAR1" + bytes(range(256)) * 4 + b"\x10\x00\x00\x00PAR1",
}


def hostile() -> None:
    """What the libraries do with broken files. zeros.csv is not broken: what matters is whether the zeros stay."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in HOSTILE.items():
            (folder / file).write_bytes(content)
            for engine in ENGINES:
                print(f"{file:16}{engine:9}{shown(apart('read', engine, _clean(folder), file))}", flush=True)
        _bombs(folder)
        for file in ("entry.parquet", "page.parquet"):
            for engine in ENGINES:
                print(f"{file:16}{engine:9}{shown(apart('read', engine, _clean(folder), file))}", flush=True)


def _bombs(folder: Path) -> None:
    """A dictionary entry of 1 MB that 5,000 rows name, and a page of 1 GB: each in a few kilobytes."""
    import pyarrow
    from pyarrow import parquet

    rows = pyarrow.array([0] * 5000, pyarrow.int32())
    entry = pyarrow.DictionaryArray.from_arrays(rows, pyarrow.array(["a" * (1 << 20)]))
    parquet.write_table(
        pyarrow.table({"text": entry}), folder / "entry.parquet", compression="zstd", dictionary_pagesize_limit=1 << 30
    )
    page = pyarrow.array(["c" * (1 << 30)], pyarrow.large_string())
    parquet.write_table(pyarrow.table({"text": page}), folder / "page.parquet", compression="zstd", use_dictionary=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
    elif options.hostile:
        hostile()
    else:
        compare(options.rows)


if __name__ == "__main__":
    main()
