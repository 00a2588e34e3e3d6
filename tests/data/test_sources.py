"""Documents in a fixed order from every sort of source, to the byte, and a number that names a place."""

import gzip
import io
import json
import random
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.corpora import LONG, documents, jsonl, texts, write
from hypothesis import given
from hypothesis import strategies as st

from liuli.data.records.digest_set import DigestSet
from liuli.data.split import split_texts
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError


@pytest.fixture
def corpus(tmp_path):
    """Every format once; documents 0 to 13."""
    folder = tmp_path / "corpus"
    write(folder / "a.txt", "first")
    write(folder / "b" / "c.jsonl", jsonl(*({"text": f"line {i}", "id": i} for i in range(4))))
    write(folder / "b" / "d.md.gz", "# second\r\n")
    write(folder / "b.json", json.dumps([{"text": "an element"}, {"text": LONG}]))
    write(folder / "e.jsonl.zst", jsonl({"text": "压缩"}))
    pq.write_table(pa.table({"id": range(4), "text": [f"row {i}" for i in range(4)]}), folder / "f.parquet", row_group_size=2)
    write(folder / "g.txt.zst", LONG)
    write(folder / ".hidden" / "x.txt", "not seen")
    write(folder / ".x.txt", "not seen")
    return folder


def test_a_folder_in_a_fixed_order(corpus):
    found = documents(corpus)
    whole = [document for document in found if not document.part]
    assert [document.source.removeprefix(f"{corpus}/") for document in whole] == [
        "a.txt", "b/c.jsonl:1", "b/c.jsonl:2", "b/c.jsonl:3", "b/c.jsonl:4", "b/d.md.gz", "b.json:1", "b.json:2",
        "e.jsonl.zst:1", "f.parquet:1", "f.parquet:2", "f.parquet:3", "f.parquet:4", "g.txt.zst",
    ]  # fmt: skip
    assert [document.number for document in whole] == list(range(14))
    assert texts(corpus) == [
        "first", "line 0", "line 1", "line 2", "line 3", "# second\r\n", "an element", LONG, "压缩",
        "row 0", "row 1", "row 2", "row 3", LONG,
    ]  # fmt: skip
    assert [len(d.text) > 0 and d.source.endswith("b.json:2") for d in found].count(True) > 2


def test_every_call_gives_the_same_again_and_a_number_names_a_place(corpus):
    sources = Sources([str(corpus)])
    found = list(sources.documents())
    assert list(sources.documents()) == found
    for start in range(16):
        wanted = [document for document in found if document.number >= start]
        assert list(sources.documents(start)) == wanted
        assert list(Sources([str(corpus)]).documents(start)) == wanted  # which has not counted anything before
        assert list(Sources([str(corpus)], dedup=True).documents(start)) == [d for d in wanted if d.number != 13]


def test_what_is_skipped_keeps_its_number(tmp_path):
    write(
        tmp_path / "a.jsonl",
        jsonl({"text": "one"}, {"no": 1}, "x", {"text": "four"}) + "\n" + "{broken\n" + jsonl({"text": "7"}),
    )
    write(tmp_path / "b.txt", b"\xff")
    write(tmp_path / "c.txt.gz", "nine")
    noise = random.Random(0).randbytes(100)
    lines = jsonl(*({"text": f"{i} {noise.hex()}"} for i in range(9999)))
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(lines.encode())[:-2000])
    write(tmp_path / "e.png", b"\x89PNG")
    write(tmp_path / "f.txt", "last")
    found = documents(tmp_path)
    assert [d.number for d in found if "a.jsonl" in d.source or "c.txt" in d.source] == [0, 3, 6, 8]
    for start in (*range(12), found[-2].number, found[-1].number, found[-1].number + 1):
        assert list(Sources([str(tmp_path)]).documents(start)) == [d for d in found if d.number >= start]


def test_not_all_before_the_start_is_decoded(corpus, monkeypatch):
    sources = Sources([str(corpus)])
    monkeypatch.setattr("liuli.data.records.readers.parse_json", lambda data: pytest.fail("parsed"))
    monkeypatch.setattr(
        "liuli.data.text.readers.WholeTextReader._check",
        lambda self: pytest.fail("read") if "a.txt" in self.place(0) else 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):  # it has come as far as d.md.gz
        next(sources.documents(5))


def test_names_are_taken_in_their_order_and_again(corpus):
    assert texts(corpus / "f.parquet", corpus / "a.txt", corpus / "a.txt") == [
        "row 0",
        "row 1",
        "row 2",
        "row 3",
        "first",
        "first",
    ]
    assert [d.source for d in documents(corpus / "a.txt")] == [str(corpus / "a.txt")]
    assert Sources([f"{corpus}/"]).files[0].name == f"{corpus}/a.txt"


def test_one_name_alone(tmp_path):
    path = write(tmp_path / "x.jsonl", jsonl({"text": "one"}))
    for name in (str(path), path):
        assert Sources(name).names == [str(path)]  # not a list of letters, of which "/" is a folder
        assert [document.text for document in Sources(name).documents()] == ["one"]


def test_passes_side_by_side_do_not_count_for_each_other(tmp_path):
    lines = "broken\n" + jsonl(*({"text": "\ufeffsame"},) * 3)
    for name in "abc":
        write(tmp_path / f"{name}.jsonl", lines)
        write(tmp_path / f"{name}.txt", f"\ufeff{name}")
    sources = Sources(tmp_path)
    first = sources.documents()
    next(first)
    second = sources.documents()
    assert len(list(second)) == 12
    assert len(list(first)) == 11
    assert (sources.skipped[0].count, sources.duplicates, sources.marks) == (3, 8, 3)


@pytest.mark.parametrize("name", ["x.txt", "x.md", "X.TXT", "x.txt.gz", "x.md.zst"])
@pytest.mark.parametrize("text", ["one\r\ntwo\rthree\n\n\u2028\x85\x0b", "\n a", LONG.replace("\n", "\r\n"), "a\ufeffb"])
def test_a_text_stays_as_it_is_to_the_byte(tmp_path, name, text):
    assert texts(write(tmp_path / name, text)) == [text]


@given(st.text(min_size=1).filter(lambda text: not text.isspace() and "\0" not in text and text[0] != "\ufeff"))
def test_any_text_by_any_way(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.txt").write_bytes(text.encode())
    (folder / "b.jsonl").write_text(json.dumps({"text": text}))
    (folder / "c.json").write_text(json.dumps([{"text": text}]))
    pq.write_table(pa.table({"text": [text]}), folder / "d.parquet")
    assert texts(folder) == [text] * 4


def test_a_byte_order_mark_is_dropped_and_counted(tmp_path):
    write(tmp_path / "a.txt", "\ufefftext")
    write(tmp_path / "b.jsonl", "\ufeff" + jsonl({"text": "line"}))
    write(tmp_path / "c.json", "\ufeff" + json.dumps([{"text": "element"}]))
    sources = Sources([str(tmp_path)])
    assert [document.text for document in sources.documents()] == ["text", "line", "element"]
    assert sources.marks == 1  # the others are no part of a text


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_columns_of_strings(tmp_path, kind):
    table = pa.table({"text": pa.array(["one", None, "三"]).cast(kind)})
    pq.write_table(table, tmp_path / "a.parquet")
    sources = Sources([str(tmp_path / "a.parquet")])
    assert [(d.source[-1], d.text) for d in sources.documents()] == [("1", "one"), ("3", "三")]
    assert [str(place) for place in sources.skipped[0].places] == [f"{tmp_path}/a.parquet:2"]


def test_standard_input_is_one_document_and_can_be_read_again(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LONG.encode())))
    sources = Sources(["-"])
    found = list(sources.documents())
    assert "".join(document.text for document in found) == LONG
    assert {(document.number, document.source) for document in found} == {(0, "standard input")}
    assert list(sources.documents()) == found
    with pytest.raises(LiuliError, match="can be read only once"):
        Sources(["-", "-"])


def test_duplicates_are_counted_and_kept_or_left_out(tmp_path):
    write(tmp_path / "a.jsonl", jsonl({"text": "x"}, {"text": "y"}, {"text": "x"}, {"text": LONG}))
    write(tmp_path / "b.txt", LONG)
    write(tmp_path / "c.txt", "x")
    kept = Sources([str(tmp_path)])
    assert texts(tmp_path) == ["x", "y", "x", LONG, LONG, "x"]
    for _ in range(2):
        list(kept.documents())
        assert kept.duplicates == 3
    once = Sources([str(tmp_path)], dedup=True)
    assert {document.number for document in once.documents()} == {0, 1, 3}
    assert once.duplicates == 3


@given(st.lists(st.binary(min_size=3, max_size=3)))
def test_seen_is_a_set(digests):
    """Short digests of few different bytes, so that tails overlap."""
    seen, known = DigestSet(), set()
    for digest in (bytes(byte % 2 for byte in digest) * 2 for digest in digests):
        assert seen.add(digest) == (digest in known)
        assert digest in seen
        known.add(digest)


def test_real_novels_stay_as_they_are(data):
    names = sorted((data / "text" / "zh").glob("*.txt"))
    assert texts(*names) == [name.read_bytes().decode() for name in names]
    assert len(documents(data / "text" / "zh" / "d2l-book.jsonl")) > 138


def test_texts_in_other_fields(tmp_path):
    """The first of the fields that a record has; a list of strings is a text of several lines."""
    write(tmp_path / "a.jsonl", jsonl({"text": "no", "body": "one"}, {"lines": ["two", "", "three"]}, {"text": "no"}))
    write(tmp_path / "b.json", json.dumps([{"body": "four", "lines": ["no"]}]))
    pq.write_table(pa.table({"text": ["no"], "body": ["five"]}), tmp_path / "c.parquet")
    sources = Sources([str(tmp_path)], fields=("body", "lines"))
    assert [document.text for document in sources.documents()] == ["one", "two\n\nthree", "four", "five"]
    (skipped,) = sources.skipped
    assert (skipped.reason, skipped.count) == ('no field "body" or "lines"', 1)
    assert texts(tmp_path) == ["no", "no", "no"]


def test_a_single_object_is_one_document(tmp_path):
    """As a record of an API or a page is often saved; over several lines, in a folder with other files too."""
    path = write(tmp_path / "a.json", '\ufeff{\n "text": "one",\n "id": {"a": [1, 2]}\n}\n')
    write(tmp_path / "b.json", json.dumps([{"text": "two"}, {"text": "three"}]))
    sources = Sources(path)
    for _ in range(2):  # the second pass knows that the file is sound
        assert [(each.text, each.source) for each in sources.documents()] == [("one", f"{path}:1")]
    assert texts(tmp_path) == ["one", "two", "three"]
    assert [count for count, _ in Sources(tmp_path).extents()] == [1, 2]
    write(path, '{"content": "a"}')
    with pytest.raises(LiuliError, match=r'1 × no field "text": .*a\.json:1 \(fields: content\); name the field'):
        texts(path)


def test_a_validation_file_is_read_from_the_same_fields(tmp_path):
    write(tmp_path / "a.jsonl", jsonl({"body": "one"}, {"body": "two"}))
    write(tmp_path / "b.jsonl", jsonl({"body": "three"}))
    split = split_texts(Sources([str(tmp_path / "a.jsonl")], fields=["body"]), str(tmp_path / "b.jsonl"))
    assert [document.text for document in split.validation()] == ["three"]


def test_a_list_of_strings_is_a_text_in_the_usual_field_too(tmp_path):
    write(tmp_path / "a.jsonl", jsonl({"text": ["one", "two"]}))
    assert texts(tmp_path) == ["one\ntwo"]
