"""Files that are made to fill a machine, or to wait for ever, are refused in one line, in little memory and time."""

import gzip
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.corpora import jsonl, texts, write

from liuli.data.dialogues.dialogues import Dialogues
from liuli.data.records import unpacking
from liuli.data.records.parquet_pages import page_sizes, read_chunks
from liuli.data.records.small_file import LARGEST, read_small_file
from liuli.data.text import parquet, readers
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError

MB = 1 << 20


def message(names, of=Sources, **settings) -> str:
    with pytest.raises(LiuliError) as caught:
        read(of(names, **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(source: Sources | Dialogues) -> list[object]:
    return list(source.documents() if isinstance(source, Sources) else source)


MEASURE = """
import re, sys
from pathlib import Path
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError
for name in sys.argv[1:]:
    try:
        print(sum(len(document.text) for document in Sources(name).documents()))
    except LiuliError as error:
        print(error)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10)
"""


def read_apart(*names) -> tuple[list[str], int]:
    """What reading each of some files says, in a process of its own, and that process's most memory in MB."""
    if sys.platform != "linux":
        pytest.skip("reads the peak from /proc, as getrusage counts the parent's too")
    found = subprocess.run([sys.executable, "-c", MEASURE, *map(str, names)], capture_output=True, text=True, check=True)
    *said, memory = found.stdout.splitlines()
    return said, int(memory)


def zstd_of(path: Path, piece: bytes, count: int) -> Path:
    with pa.OSFile(str(path), "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as stream:
        for _ in range(count):
            stream.write(piece)
    return path


def test_a_gigabyte_in_a_few_kilobytes(tmp_path):
    names = [zstd_of(tmp_path / name, b"[" * MB, 1024) for name in ("a.jsonl.zst", "a.txt.zst", "a.json.zst")]
    assert max(name.stat().st_size for name in names) < 100_000
    said, memory = read_apart(*names)
    assert [line.split(": ", 1)[1] for line in said] == [
        f"1 × decompresses to more than 64 MB and 200 times its size: {name}; it may be a decompression bomb; if you "
        f"trust it, decompress it yourself"
        for name in names
    ]
    assert memory < 300


def test_parquet_that_becomes_gigabytes(tmp_path):
    """An entry of the dictionary named by many rows; one page of a single text; texts that repeat the one before."""
    rows = pa.array([0] * 5000, pa.int32())
    entry = pa.DictionaryArray.from_arrays(rows, pa.array(["a" * MB]))
    settings = {"compression": "zstd", "use_dictionary": False}
    tables = {
        "entry": (pa.table({"text": entry}), {"compression": "zstd", "dictionary_pagesize_limit": 1 << 30}),
        "page": (pa.table({"text": pa.array(["c" * 130 * MB], pa.large_string())}), settings),
        "prefix": (pa.table({"text": ["d" * 4 * MB] * 40}), settings | {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}}),
    }
    names = []
    for name, (table, how) in tables.items():
        names.append(tmp_path / f"{name}.parquet")
        pq.write_table(table, names[-1], **how)
    assert max(name.stat().st_size for name in names) < 50_000
    said, memory = read_apart(*names)
    assert said[0] == str(63 * MB) and said[2] == str(60 * MB)  # what was read before it was too much
    assert "1 × a Parquet page larger than 128 MB when decompressed" in said[1]
    assert memory < 700
    sources = Sources(names[0])
    assert sum(1 for _ in sources.documents()) > 0
    assert [each.reason for each in sources.skipped] == ["decompresses to more than 64 MB and 200 times its size"]


def test_a_list_of_empty_lists(tmp_path):
    """Of the line, 24 MB, Python would make 600 MB."""
    path = write(tmp_path / "a.json", b'[{"text": "one"}' + b",[]" * 300_000 + b"]")
    line = write(tmp_path / "a.jsonl", b'{"text": "one", "x": [0' + b",[]" * 8_000_000 + b"]}\n")
    said, memory = read_apart(path, line)
    assert said[0] == "3" and "a record with too many values" in said[1]
    assert memory < 300


def test_billions_of_rows_without_a_text(tmp_path, monkeypatch):
    unpacked_at_most(monkeypatch, 640_000)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.nulls(10_000_000, pa.string())}), path)
    sources = Sources([path, write(tmp_path / "b.txt", "text")])
    assert [document.number for document in sources.documents()] == [10_000_000]
    assert [(each.reason, each.count) for each in sources.skipped] == [
        ('"text" is null, not a string', 200 * path.stat().st_size // 64),
        ("decompresses to more than 0 MB and 200 times its size", 1),
    ]


def unpacked_at_most(monkeypatch, size: int) -> None:
    monkeypatch.setattr(unpacking, "UNPACKED", size)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.jsonl", "a.json"])
@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_every_compressed_format_has_a_limit(tmp_path, monkeypatch, name, compression):
    unpacked_at_most(monkeypatch, 100_000)
    path = write(tmp_path / f"{name}.{compression}", "a" * 100_001 if "json" not in name else "[" * 100_001)
    said = f"{path}: decompresses to more than 0 MB and 200 times its size; it may be a decompression bomb"
    assert message(path, strict=True).startswith(said)
    lines = jsonl({"text": "a" * 90_000})
    fits = {"a.json": f"[{lines}]", "a.jsonl": lines}.get(name, "a" * 100_000)
    assert sum(map(len, texts(write(path, fits)))) in (90_000, 100_000)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a.tsv", "a.yml"])
def test_dialogues_have_it_too(tmp_path, monkeypatch, name):
    unpacked_at_most(monkeypatch, 100_000)
    monkeypatch.setattr("liuli.data.dialogues.chatterbot.LARGEST_YAML", MB)
    path = write(tmp_path / f"{name}.zst", "[" * 100_001)
    assert message(path, Dialogues, strict=True).startswith(f"{path}: decompresses to more than 0 MB and 200 times its size")


def test_what_compresses_as_text_does_is_read(tmp_path, monkeypatch):
    unpacked_at_most(monkeypatch, 1000)
    path = write(tmp_path / "a.txt.gz", "".join(f"line number {i}, and so on\n" for i in range(20_000)))
    assert path.stat().st_size * 200 > 400_000
    assert sum(map(len, texts(path))) > 400_000


def test_records_before_the_limit_are_kept(tmp_path, monkeypatch):
    unpacked_at_most(monkeypatch, 200_000)
    path = write(tmp_path / "a.jsonl.gz", jsonl({"text": "one"}) * 5 + "[" * 400_000)
    sources = Sources(path)
    assert [document.text for document in sources.documents()] == ["one"] * 5
    said = "1 × decompresses to more than 0 MB and 200 times its size"
    assert [str(each).split(":")[0] for each in sources.skipped] == [said]
    assert len(list(sources.documents(3))) == 2


def test_two_columns_of_one_name(tmp_path):
    path = tmp_path / "a.parquet"
    columns = [pa.array(["one"]), pa.array(["two"])]
    pq.write_table(pa.Table.from_arrays(columns, ["text", "text"]), path)
    said = f'{path}: more than one column "text" (columns: text, text); rename all except one'
    assert message(path) == said
    pq.write_table(pa.Table.from_arrays(columns, ["text.id", "text"]), path)
    assert message(path).startswith(f'{path}: more than one column "text" (columns: text.id, text)')


def test_a_long_cell_of_parquet(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "TEXT", replace(readers.TEXT, longest=1000))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a" * 1000, "a" * 1001, "b"]}), path)
    sources = Sources(path)
    assert [len(document.text) for document in sources.documents()] == [1000, 1]
    assert [str(each) for each in sources.skipped] == [f"1 × a text longer than 0 MB: {path}:2; split it into several rows"]


@pytest.mark.parametrize("rows", [64, 8, 1])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_rows_of_parquet_do_not_depend_on_how_many_are_decoded(tmp_path, monkeypatch, rows, dictionary, version):
    monkeypatch.setattr(parquet, "ROWS", (rows,) if rows == 1 else (rows, 1))
    cells = [None if i % 11 == 0 else f"row {i % 50} " * (i % 13) for i in range(500)]
    path, some = tmp_path / "a.parquet", {"row_group_size": 190, "data_page_size": 700, "data_page_version": version}
    pq.write_table(pa.table({"id": range(500), "text": cells}), path, use_dictionary=dictionary, **some)
    assert texts(path) == [cell for cell in cells if cell]
    for start in (0, 1, 189, 190, 191, 380, 499):
        found = [document.text for document in Sources(path).documents(start)]
        assert found == [cell for cell in cells[start:] if cell]


def test_page_sizes_are_those_of_the_file(tmp_path):
    noise = ["".join(chr(97 + (i * j * j) % 26) for j in range(1000)) for i in range(300)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": noise}), path, use_dictionary=False, data_page_size=10_000, write_batch_size=1)
    with path.open("rb") as stream:
        (chunk,) = read_chunks(stream, 0)
        sizes = page_sizes(stream, chunk)
    assert sizes.dictionary == 0 and sizes.pages > 20
    assert 10_000 <= sizes.page < 12_000 and 9 <= sizes.fewest <= 11
    assert sizes.of_rows(8) == 2 * sizes.page and sizes.of_rows(64) == sizes.pages * sizes.page
    pq.write_table(pa.table({"text": noise * 3}), path, dictionary_pagesize_limit=1 << 30)
    with path.open("rb") as stream:
        (chunk,) = read_chunks(stream, 0)
        sizes = page_sizes(stream, chunk)
    assert sizes.dictionary == len(set(noise)) * 1004  # each with its length
    assert sizes.of_rows(64) == 64 * sizes.dictionary + sizes.page


@pytest.mark.parametrize("part", range(8))
def test_a_damaged_parquet_file_ends_nothing_but_its_own_reading(tmp_path, part):
    """Neither a header of a page nor the footer: pyarrow itself, asked for a column's metadata, would end the process."""
    path = tmp_path / "a.parquet"
    write(tmp_path / "b.txt", "good")
    pq.write_table(pa.table({"id": [1, 2], "text": ["one", None]}), path)
    whole = path.read_bytes()
    for at in range(part, len(whole), 8):
        for value in (0x00, 0x18, 0x7F, 0xFF):
            path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            sources = Sources(tmp_path)
            found = list(sources.documents())
            assert found[-1].text == "good" and len(found) <= 3
            assert list(sources.documents(found[-1].number)) == found[-1:]


def test_numbers_that_python_does_not_have(tmp_path):
    path = write(tmp_path / "a.json", '[{"text": "one", "x": 1e400, "y": ' + "9" * 4000 + "}]")
    assert texts(path) == ["one"]
    path = write(tmp_path / "a.json", '[{"text": "one", "x": ' + "9" * 5000 + "}]")
    assert "broken JSON (a number of thousands of digits); fix it" in message(path, strict=True)


def test_a_dialogue_of_nothing_but_tabs(tmp_path):
    path = write(tmp_path / "a.tsv", "a\t" * 100_000 + "\na\tb\n")
    assert message(path, Dialogues, strict=True) == (
        f"{path}:1: a dialogue with too many turns (more than 100,000); split it into several dialogues"
    )
    assert [each.source for each in Dialogues(path)] == [f"{path}:2"]


def test_json_in_strings_in_json(tmp_path):
    """Calls hold their arguments in a string, which is decoded too."""
    arguments = "[" * 200_000
    turns = [{"from": "human", "value": "a"}, {"from": "function_call", "value": arguments}]
    path = write(tmp_path / "a.jsonl", jsonl({"conversations": turns}))
    assert f"{path}:1: a function_call that is not JSON with name and arguments" in message(path, Dialogues, strict=True)


@pytest.mark.parametrize("content", ["[", "{", "- ", "? ", "a: &x [", "[a: "])
def test_yaml_inside_one_another(tmp_path, content):
    path = write(tmp_path / "a.yml", content * (900_000 // len(content)))
    said = message(path, Dialogues, strict=True)
    assert said.startswith(f"{path}: unsupported YAML (")


YAML_BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(9))


def test_yaml_that_doubles_itself(tmp_path):
    path = write(tmp_path / "a.yml", YAML_BOMB + "conversations: *a9\n")
    assert message(path, Dialogues, strict=True) == f"{path}: unsupported YAML (an alias at line 2); remove it"
    path = write(tmp_path / "a.yml", "conversations: [[a, b]]\n---\nconversations: [[c, d]]\n")
    assert "unsupported YAML (a second document at line 2)" in message(path, Dialogues, strict=True)
    path = write(tmp_path / "a.yml", "conversations: !!python/object/apply:os.system [[rm, b]]\n")
    assert [each.first_prompt for each in Dialogues(path)] == ["rm"]  # a tag is nothing but a word


NOT_REGULAR = "is a pipe, a device or a system file: only regular files are read; write its content to a file first"


@pytest.mark.parametrize("of", [Sources, Dialogues])
def test_what_is_no_file_of_data_is_refused_at_once(tmp_path, of):
    os.mkfifo(tmp_path / "fifo.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "log.jsonl").symlink_to("/proc/kmsg")
    (tmp_path / "pipe.jsonl").symlink_to(tmp_path / "fifo.txt")
    for name in (*sorted(tmp_path.iterdir()), Path("/dev/zero"), Path("/proc/self/maps")):
        if name.exists():  # no /proc on macOS
            assert message(name, of) == f"{name} {NOT_REGULAR}"
            with pytest.raises(LiuliError, match=f"^{name} is a pipe, a device or a system file"):
                read_small_file(name)
    if Path("/proc").is_dir():
        assert message("/proc", of) == "/proc is a system folder, which contains no data; give another folder"
    write(tmp_path / "good.jsonl", jsonl({"text": "text", "question": "a", "answer": "b"}, {"question": "a", "answer": "b"}))
    source = of(tmp_path)
    assert len(read(source)) == 1
    reasons = {each.reason for each in source.skipped}
    assert "not a regular file (a device, a pipe, or a link to a folder or to nothing)" in reasons
    if Path("/proc").is_dir():
        assert "cannot be read" in reasons  # the link to what only looks like a file


def test_a_file_replaced_by_a_pipe_after_it_was_found(tmp_path):
    path = write(tmp_path / "a.txt", "text")
    sources = Sources(path)
    path.unlink()
    os.mkfifo(path)
    assert "a.txt changed while it was being read" in message_of(sources)


def message_of(sources: Sources) -> str:
    with pytest.raises(LiuliError) as caught:
        list(sources.documents())
    return str(caught.value)


def test_folders_inside_one_another(tmp_path, monkeypatch):
    inner = tmp_path / "top" / "/".join(["a"] * 100)
    write(inner / "x.txt", "found")
    assert texts(tmp_path / "top") == ["found"]
    monkeypatch.chdir(inner)
    for _ in range(1100):
        os.mkdir("a")
        os.chdir("a")
    for of in (Sources, Dialogues):
        said = f"{tmp_path}/top is nested too deeply (more than 100 levels); give the inner folders"
        assert message(tmp_path / "top", of) == said
    for _ in range(1100):  # rmtree would fill the stack
        os.chdir("..")
        os.rmdir("a")


def test_a_name_that_is_too_long():
    assert message("x" * 5000).endswith("… cannot be read: file name too long")


def test_foreign_names_in_messages(tmp_path):
    evil = "e\x1b]0;x\x07\u202e\r"
    folder = tmp_path / evil
    write(folder / "a.png", b"")
    shown = f"{tmp_path}/e�]0;x���"
    assert message(folder).startswith(f"no text found in {shown}: 1 × unknown file type for text")
    path = write(folder / "a.txt", "a")
    write(folder / "b.txt", "ab" * 9)
    for said in (
        message_of_split(path, "content"),
        message_of_split(folder / "b.txt", str(folder)),
        message_of_split(folder / "b.txt", f"tail:{evil}"),
        message_of_split(folder / "b.txt", evil),
        message(f"hub:{evil}"),
    ):
        assert said.isprintable() and "\u202e" not in said


def message_of_split(path: Path, rule: str) -> str:
    from liuli.data.split import split_texts

    with pytest.raises(LiuliError) as caught:
        split_texts(Sources(path), rule)
    return str(caught.value)


def test_foreign_text_in_messages_is_short(tmp_path):
    path = write(tmp_path / "a.yml", "a: !" + "x" * 900_000 + "!b c")
    assert len(message(path, Dialogues, strict=True)) < 600 + len(str(path))
    table = pa.table({"text": pa.array([{f"{i}\x1b": i for i in range(500)}])})
    pq.write_table(table, tmp_path / "a.parquet")
    said = message(tmp_path / "a.parquet")
    assert 'the column "text" does not contain strings (found struct<0�: int64' in said and len(said) < 600 + len(str(tmp_path))


def test_standard_input_that_cannot_be_kept(monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda **_: Full())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text")))
    said = message("-")
    assert said.startswith("standard input cannot be stored in ") and said.endswith(": no space left on device")


def test_a_small_file(tmp_path):
    path = write(tmp_path / "a.txt", "\ufeffone\ntwo")
    assert read_small_file(path) == "one\ntwo"
    (tmp_path / "b.txt").write_bytes(b"a" * (LARGEST + 1))
    (tmp_path / "c.txt").write_bytes(b"a\xff")
    for name, said in (
        ("b.txt", "has more than 16 MB; split it into several files"),
        ("c.txt", "is not UTF-8 text: byte 2 of 2 is 0xFF"),
    ):
        with pytest.raises(LiuliError, match=f"{name} {said}"):
            read_small_file(tmp_path / name)
    with pytest.raises(LiuliError, match="there is no file "):
        read_small_file(tmp_path)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.jsonl.gz", "a.txt.zst", "a.parquet"])
def test_the_reading_can_be_watched(tmp_path, name):
    records = [{"text": f"line {i} of many"} for i in range(5000)]
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table({"text": [record["text"] for record in records]}), path)
    else:
        write(path, json.dumps(records) if name == "a.json" else jsonl(*records))
    seen = []
    watched = list(Sources(path, watch=lambda *place: seen.append(place)).documents())
    assert watched == list(Sources(path).documents())
    assert {(each, size) for each, _, size in seen} == {(str(path), path.stat().st_size)}
    places = [place for _, place, _ in seen]
    assert 0 < max(places) <= path.stat().st_size
    dialogues = write(tmp_path / "d.jsonl", jsonl({"question": "a", "answer": "b"}))
    seen.clear()
    assert len(list(Dialogues(dialogues, watch=lambda *place: seen.append(place)))) == 1
    assert seen[-1] == (str(dialogues), dialogues.stat().st_size, dialogues.stat().st_size)


def test_gzip_of_several_members_and_its_limit(tmp_path, monkeypatch):
    unpacked_at_most(monkeypatch, 10_000)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one ") + gzip.compress(b"two"))
    assert texts(path) == ["one two"]
    path.write_bytes(gzip.compress(b"a" * 100_000) * 2)
    assert "decompresses to more than" in message(path, strict=True)


def test_a_long_record_of_a_list(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "TEXT", replace(readers.TEXT, longest=1000))
    path = write(tmp_path / "a.json", json.dumps([{"text": "one"}, {"text": "a" * 900}]))
    assert len(texts(path)) == 2
    write(path, json.dumps([{"text": "one"}, {"text": "a" * 1000}]))
    said = f"{path}: a record longer than 0 MB; split it into several records, or write it to a .txt file"
    assert message(path, strict=True) == said
