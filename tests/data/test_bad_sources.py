"""Whatever is wrong with a source is named: what, where, what to do; and skipped with a count, or an error."""

import errno
import gzip
import json
import os
import random
import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.corpora import LONG, jsonl, texts, write

from liuli.data.text.readers import TEXT
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError


def message(*names, **settings) -> str:
    with pytest.raises(LiuliError) as caught:
        list(Sources([str(name) for name in names], **settings).documents())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_source_and_nothing_behind_a_name(tmp_path):
    assert message().startswith("there is no source; give files, folders")
    assert "there is no file or folder" in message(tmp_path / "nowhere.txt")
    assert "there is no file or folder ''" in message("")


def test_no_text_found(tmp_path):
    assert message(tmp_path) == f"no text found in {tmp_path}: it contains no files"
    write(tmp_path / "a.png", b"\x89PNG")
    write(tmp_path / "b.txt", "")
    write(tmp_path / "c.txt", " \r\n\u3000")
    assert message(tmp_path) == (
        f"no text found in {tmp_path}: 2 × file without any text: {tmp_path}/b.txt and 1 more, and 1 other problem; "
        "add content, or remove the file"
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.png", b"\x89PNG"), ("a.yml", b"text: yes"), ("noname", b"text"), ("a.parquet.gz", b""), (".gz", b""), ("a.gz", b"")],
)
def test_no_format_of_text_is_skipped_in_a_folder_and_an_error_by_name(tmp_path, name, content):
    write(tmp_path / "z.txt", "text")
    (tmp_path / name).write_bytes(content)
    assert ": Liuli does not read text from files of this type; it reads .txt, .md, .jsonl, .json" in message(tmp_path / name)
    sources = Sources([str(tmp_path)])
    assert [document.text for document in sources.documents()] == ["text"]
    hidden = name.startswith(".")
    assert [(each.reason, each.count) for each in sources.skipped] == [("unknown file type for text", 1)] * (not hidden)


def parquet(path, table: pa.Table):
    pq.write_table(table, path)
    return path.read_bytes()


def bad_files(folder) -> dict[str, tuple[bytes, str, bool]]:
    """Name: content, what is said of it, and whether it is an error by name."""
    packed = gzip.compress(LONG.encode())
    noise = random.Random(0).randbytes(40_000).hex()
    zstd = pa.compress(noise.encode(), "zstd", asbytes=True)
    table = parquet(folder / "x", pa.table({"text": [noise[i : i + 40] for i in range(0, len(noise), 40)]}))
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * b"0" + b"\nsize 7031645\n"
    pointed = "a Git LFS pointer, not the file itself; run `git lfs pull` in its folder, or download the file"
    return {
        "pointer.txt": (pointer, pointed, False),
        "pointer.txt.gz": (pointer, pointed, False),
        "pointer.jsonl": (pointer, pointed, False),
        "pointer.json": (pointer, pointed, False),
        "pointer.parquet": (pointer, pointed, False),
        "empty.txt": (b"", "file without any text", False),
        "blank.md": (b"\n \t\r\n", "file without any text", False),
        "mark.txt": (b"\xef\xbb\xbf", "file without any text", False),
        "empty.jsonl": (b"", "file without any text", False),
        "blank.jsonl": (b"\n \n", "file without any text", False),
        "empty.json": (b"[]", "file without any text", False),
        "empty.txt.gz": (gzip.compress(b""), "file without any text", False),
        "empty.parquet": (parquet(folder / "x", pa.table({"text": pa.array([], pa.string())})), "file without any text", False),
        "latin1.txt": (b"caf\xe9", "not UTF-8 (byte 4 is 0xE9); convert it to UTF-8, or remove it", False),
        "gbk.txt": (
            "中文".encode("gbk"),
            "not UTF-8 but perhaps GB18030 (byte 1 is 0xD6); convert it with iconv -f GB18030 -t UTF-8",
            False,
        ),
        "far.txt": (b"\xef\xbb\xbf" + b"a" * 3_000_000 + b"\xe4\xb8", "not UTF-8 (byte 3,000,004 is 0xE4)", False),
        "utf16.txt": ("text".encode("utf-16"), "UTF-16, not UTF-8; convert it with iconv -f UTF-16 -t UTF-8", False),
        "utf16.json": ('[{"text": "a"}]'.encode("utf-16"), "UTF-16, not UTF-8; convert it", False),
        "utf16.jsonl": (
            b"\xfe\xff" + '{"text": "a"}\n{"text": "b"}'.encode("utf-16-be"),
            "UTF-16, not UTF-8; convert it",
            False,
        ),
        "surrogate.txt": (b"a\xed\xa0\x80", "not UTF-8 (byte 2 is 0xED)", False),
        "nul.txt": ("é\0".encode(), "binary, not text (byte 3 is NUL)", True),
        "broken.txt.gz": (packed[:-20], "broken gzip", False),
        "wrong.txt.gz": (packed[:100] + bytes([packed[100] ^ 255]) + packed[101:], "broken gzip", False),
        "plain.jsonl.gz": (b'{"text": "not compressed"}', "broken gzip (Not a gzipped file", False),
        "cut.txt.zst": (zstd[:-20], "broken zstd (Truncated compressed stream); download it again, or create it again", False),
        "plain.txt.zst": (b"not compressed", "broken zstd", False),
        "broken.parquet": (table[:-500], "broken parquet", False),
        "torn.parquet": (table[:4] + b"\xff" * 500 + table[504:], "broken parquet (after row 0", False),
        "text.parquet": (b"PAR1", "broken parquet", False),
        "columns.parquet": (
            parquet(folder / "x", pa.table({"id": [1], "content": ["a"]})),
            'no column "text" (columns: id, content); give the name of the column with the text with --text-field',
            True,
        ),
        "numbers.parquet": (
            parquet(folder / "x", pa.table({"text": [1]})),
            'the column "text" does not contain strings (found int64); store strings',
            True,
        ),
        "string.json": (b'"one"', 'not a list of objects with a field "text"; write [{"text": "…"}, …]', True),
        "open.json": (b'{"text": "one"', "broken JSON (Expecting ',' delimiter at column 15); fix it", False),
        "broken.json": (b'[{"text": "one"},', "broken JSON (Expecting value at column 18); fix it", False),
        "lines.json": (
            b'{"text": "a"}\n{"text": "b"}',
            "broken JSON (Extra data at line 2, column 1); rename it to .jsonl if it has one object per line",
            False,
        ),
        "deep.json": (b"[" * 100_000, "JSON nested too deeply (more than 128 levels)", False),
    }


def test_files_that_cannot_be_used(tmp_path):
    everything = tmp_path / "all"
    write(everything / "zz.txt", "text")
    for name, (content, said, by_name) in bad_files(tmp_path).items():
        for folder in (tmp_path / f"only-{name}", everything):
            folder.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        only = tmp_path / f"only-{name}"
        strict = message(only, strict=True)
        assert strict.startswith(f"{only}/{name}: {said}"), name
        write(only / "zz.txt", "text")
        sources = Sources([str(only)])
        assert [document.text for document in sources.documents()] == ["text"], name
        assert [each.count for each in sources.skipped] == [1], name
        assert sources.skipped[0].places[0].first.startswith(f"{only}/{name}"), name
        (found,) = sources.documents()
        assert list(Sources([str(only)]).documents(found.number)) == [found], name
        assert message(only / name).startswith(f"{only}/{name}: {said}" if by_name else "no text found in"), name
    assert texts(everything) == ["text"]


BAD_LINES = {
    "{": "broken JSON (Expecting property name enclosed in double quotes at column 2); fix it",
    '{"text": "a" "b"}': "broken JSON (Expecting ',' delimiter at column 14); fix it",
    '{"text": "a': "broken JSON (Unterminated string starting at column 10); fix it",
    "[" * 100_000: "JSON nested too deeply (more than 128 levels); fix it",
    '{"text": ' + "1" * 5000 + "}": "broken JSON (a number of thousands of digits); fix it",
    '"text"': 'the record is not an object (found a string); write {"text": "…"}',
    "[1]": "the record is not an object (found a list)",
    '{"text": null}': '"text" is null, not a string; write it as a string, or remove it',
    '{"text": 1.5}': '"text" is a number, not a string',
    '{"text": true}': '"text" is true or false, not a string',
    '{"text": ["a", 1]}': '"text" is a list, not a string',
    '{"text": []}': '"text" is a list, not a string',
    '{"text": ""}': "empty text",
    '{"text": " \\n"}': "empty text",
    '{"text": "ab\\u0000"}': "a NUL character in the text (character 3); remove it",
    '{"text": "a\\ud800b"}': "a lone surrogate in the text (\\ud800 at character 2); write the whole pair, or remove it",
    '{"content": "a", "i\\u001bd": 1}': (
        'no field "text" (fields: content, i\ufffdd); name the field with the text, such as --text-field content'
    ),
    '{"messages": []}': 'a dialogue, not a text (fields: messages); only records with a field "text" are read here',
    '{"conversations": []}': "a dialogue, not a text",
    '{"instruction": "a", "input": "", "output": "b"}': "an instruction with its answer, not a text",
    '{"prompt": "a", "chosen": "b", "rejected": "c"}': "a preference, not a text",
    "{}": 'no field "text" (fields: none)',
}


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_broken_line_is_named_by_its_number_and_skipped(tmp_path, line):
    path = write(tmp_path / "a.jsonl", jsonl({"text": "one"}, {"text": "two"}) + line + "\n" + jsonl({"text": "four"}))
    assert message(path, strict=True).startswith(f"{path}:3: {BAD_LINES[line]}")
    sources = Sources([str(path)])
    assert [document.text for document in sources.documents()] == ["one", "two", "four"]
    assert [each.count for each in sources.skipped] == [1]
    assert sources.skipped[0].places[0].first.startswith(f"{path}:3")
    list(sources.documents())
    assert [each.count for each in sources.skipped] == [1]  # of one pass, not of both


def test_a_line_that_is_not_utf8(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text": "\xff"}\n{"text": "two"}')
    assert message(path, strict=True).startswith(f"{path}:1: not UTF-8 (byte 11 is 0xFF)")
    assert texts(path) == ["two"]


def test_a_column_that_lies_about_utf8(tmp_path):
    bad = pa.array([b"good", b"\xff\xfe", b"a\0", b" "]).view(pa.string())
    pq.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
    sources = Sources([str(tmp_path)])
    assert [document.text for document in sources.documents()] == ["good"]
    assert [each.reason for each in sources.skipped] == ["UTF-16, not UTF-8", "a NUL character in the text", "empty text"]


def test_many_problems_are_all_counted_and_some_named(tmp_path):
    for name in "abcdefghijkl":
        write(tmp_path / f"{name}.jsonl", "x\n" * 100 + jsonl({"text": name}))
    sources = Sources([str(tmp_path)])
    assert len(list(sources.documents())) == 12
    (skipped,) = sources.skipped
    assert (skipped.count, skipped.elsewhere) == (1200, 200)
    said = "(Expecting value at column 1)"
    assert [str(place) for place in skipped.places] == [
        f"{tmp_path}/{name}.jsonl:1 {said} and 99 more" for name in "abcdefghij"
    ]
    assert str(skipped).startswith(f"1,200 × broken JSON: {tmp_path}/a.jsonl:1 {said} and 1,199 more; fix it")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.txt.gz"])
@pytest.mark.parametrize("when", ["before", "between", "while"])
def test_a_file_that_changes_is_an_error(tmp_path, name, when):
    lines = [{"text": f"{i} {LONG}"} for i in range(50)]
    content = {"a.txt": LONG * 50, "a.txt.gz": LONG * 50, "a.jsonl": jsonl(*lines), "a.json": json.dumps(lines)}[name]
    path = write(tmp_path / name, content)
    sources = Sources([str(path)])
    if when == "between":
        list(sources.documents())
    documents = sources.documents()
    if when == "while":
        next(documents)
    with path.open("ab") as file:
        file.write(b"\n")
    if when == "while" and name == "a.json":
        assert len(list(documents)) > 0  # it was read whole before
    else:
        with pytest.raises(LiuliError, match="changed while it was being read: wait until it is completely written"):
            list(documents)


def test_a_file_that_is_still_being_written_is_not_called_broken(tmp_path):
    path = write(tmp_path / "a.txt.gz", LONG)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    sources = Sources([str(tmp_path)])
    path.write_bytes(whole)
    assert "changed while it was being read" in message_of(sources)


def message_of(sources: Sources) -> str:
    with pytest.raises(LiuliError) as caught:
        list(sources.documents())
    return str(caught.value)


def test_links_pipes_and_odd_names(tmp_path):
    folder = tmp_path / "folder"
    write(folder / "z.txt", "text")
    write(tmp_path / "other" / "a.txt", "linked")
    (folder / "a").symlink_to(tmp_path / "other")
    (folder / "b.txt").symlink_to(tmp_path / "nowhere")
    (folder / "c.txt").symlink_to(tmp_path / "other" / "a.txt")
    os.mkfifo(folder / "d.txt")
    write(folder / "e\x1b[31m\n.txt", "odd")
    sources = Sources([str(folder)])
    assert [document.text for document in sources.documents()] == ["linked", "odd", "text"]
    assert [document.source for document in sources.documents()][1] == f"{folder}/e\ufffd[31m\ufffd.txt"
    (skipped,) = sources.skipped
    assert skipped.reason == "not a regular file (a device, a pipe, or a link to a folder or to nothing)"
    assert [place.first.split("/")[-1] for place in skipped.places] == ["a", "b.txt", "d.txt"]


def test_what_the_system_says_is_said_plainly(tmp_path, monkeypatch):
    path = write(tmp_path / "a.txt", "secret")
    sources = Sources(path, strict=True)

    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("liuli.data.records.source_files.open_regular", refuse)
    assert message_of(sources) == f"{path}: cannot be read (permission denied); ask its owner for permission to read it"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read(tmp_path):
    write(tmp_path / "a.txt", "secret").chmod(0)
    said = "a.txt: cannot be read (permission denied); ask its owner for permission to read it"
    assert said in message(tmp_path, strict=True)


def test_a_folder_of_everything_runs_none_of_it(tmp_path):
    write(tmp_path / "a.py", "raise SystemExit")
    write(tmp_path / "b.pkl", b"cos\nsystem\n(S'false'\ntR.")
    write(tmp_path / "c.txt", "text")
    assert texts(tmp_path) == ["text"]


def test_a_line_longer_than_the_limit_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr("liuli.data.text.readers.TEXT", replace(TEXT, longest=1000))
    line = json.dumps({"text": "x" * (1000 - len('{"text": ""}'))})
    path = write(tmp_path / "a.jsonl", "\n".join([line, line + " ", line * 9, line]))
    sources = Sources([str(path)])
    assert [document.source[-1] for document in sources.documents()] == ["1", "4"]
    assert [each.reason for each in sources.skipped] == ["a line longer than 0 MB"]
    monkeypatch.setattr("liuli.data.records.readers.LARGEST_LIST", 1000)
    path = write(tmp_path / "a.json", json.dumps([{"text": LONG}]))
    assert "larger than 0 MB, the limit for a .json file; convert it to .jsonl" in message(path, strict=True)


MEASURE = """
import re, sys
from pathlib import Path
from liuli.data.text.sources import Sources
characters = sum(len(document.text) for document in Sources(sys.argv[1:]).documents())
print(characters, int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc, as getrusage counts the parent's too")
def test_a_long_line_needs_little_memory(tmp_path):
    """As .txt it is streamed; 20 MB here, to be quick."""
    path = write(tmp_path / "a.txt", "one long line without an end, and so on and on; " * 425_000)
    found = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    characters, megabytes = map(int, found.stdout.split())
    assert characters == 20_400_000
    assert megabytes < 256
