"""Whether sources hold text or dialogues: what a person finds out by looking at the first record."""

import json

import pyarrow as pa
import pytest
from helpers.corpora import jsonl, write
from pyarrow import parquet

from liuli.data.dialogues.recognise import hold_dialogues

TALK = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


@pytest.mark.parametrize(
    ("name", "content", "dialogues"),
    [
        ("a.jsonl", jsonl(TALK), True),
        ("a.jsonl", jsonl({"text": "a"}, TALK), False),
        ("a.jsonl", "broken\n[1]\n" + jsonl(TALK), True),
        ("a.jsonl", jsonl(TALK | {"text": "a"}), False),
        ("a.jsonl", jsonl({"title": "a", "paragraphs": ["b"]}), False),
        ("a.jsonl", jsonl({"question": "a", "answer": "b"}), True),
        ("a.jsonl", jsonl({"messages": "flawed, but meant as a dialogue"}), True),
        ("a.json", json.dumps([{"instruction": "a", "input": "", "output": "b"}]), True),
        ("a.json", json.dumps([{"text": "a"}]), False),
        ("a.json", jsonl(TALK, TALK), True),
        ("a.json", json.dumps(TALK, indent=1), True),
        ("a.json", json.dumps({"text": "a"}, indent=1), False),
        ("a.txt", "a\tb\n", False),
        ("a.tsv", "a\tb\n", True),
        ("a.yml", "conversations:\n- - a\n  - b\n", True),
        ("a.md", "a", False),
        ("a.png", "a", False),
        ("a.jsonl", "", False),
    ],
)
def test_the_first_record_decides(tmp_path, name, content, dialogues):
    path = write(tmp_path / name, content)
    assert hold_dialogues(path) is dialogues
    assert hold_dialogues(tmp_path) is dialogues


def test_columns_of_a_table(tmp_path):
    parquet.write_table(pa.table({"instruction": ["a"], "output": ["b"]}), tmp_path / "a.parquet")
    parquet.write_table(pa.table({"text": ["a"]}), tmp_path / "b.parquet")
    assert hold_dialogues(tmp_path / "a.parquet")
    assert not hold_dialogues(tmp_path / "b.parquet")


def test_files_without_a_record_are_passed_over(tmp_path):
    write(tmp_path / "a.jsonl", "broken")
    write(tmp_path / "b.jsonl", jsonl(TALK))
    assert hold_dialogues([tmp_path])


def test_what_cannot_be_read_is_reported_by_whoever_reads_it(tmp_path):
    assert not hold_dialogues(tmp_path / "nowhere")
    assert not hold_dialogues("-")
    assert not hold_dialogues([])
