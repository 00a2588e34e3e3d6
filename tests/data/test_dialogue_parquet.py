"""Parquet files of dialogues give what `.jsonl` files of the same records give, whatever the writer; and files made to fill
memory do not."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.corpora import jsonl, write

from liuli.data.dialogues import parquet
from liuli.data.dialogues.dialogues import Dialogues
from liuli.errors import LiuliError

CALL = {"id": "", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
RECORDS = {
    "messages": [
        {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "您好！"}], "id": 1},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0.5}], "id": 2},
        {"messages": [{"role": "user", "content": "x"}, {"role": "robot", "content": "y"}], "id": 3},
        {"messages": [], "id": 4},
        {"messages": None, "id": 5},
    ],
    "tools": [
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "content": "1"},
                {"role": "assistant", "content": "b", "reasoning_content": "c"},
            ],
            "tools": json.dumps([{"name": "f"}]),
        }
    ],
    "ShareGPT": [
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s", "source": "x"},
        {"conversations": [{"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}], "system": None, "source": "y"},
    ],
    "Alpaca": [
        {"instruction": "a", "input": "", "output": "b", "category": "c"},
        {"instruction": "a", "input": None, "output": "b", "category": None},
        {"instruction": "a", "input": "i", "output": "", "category": "d"},
    ],
    "history": [{"instruction": "a", "output": "b", "history": [["c", "d"]]}],
    "question/answer": [{"question": "a", "answer": "b"}],
    "another layout's columns": [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "conversations": None},
        {"messages": None, "conversations": [{"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}]},
    ],
    "a question with more": [{"question": "a", "answer": "b", "subject": "c"}],
    "preferences": [{"instruction": "a", "output": "b", "chosen": "c", "rejected": "d"}],
}
WRITERS = {
    "plain": {"use_dictionary": False, "compression": "none"},
    "dictionary": {"compression": "zstd"},
    "groups": {"row_group_size": 1},
    "version 2": {"data_page_version": "2.0", "compression": "gzip"},
    "delta": {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
}


def found(path) -> tuple[list, list]:
    dialogues = Dialogues(path)
    try:
        every = [(each.messages, each.tools, each.source.rpartition(":")[2]) for each in dialogues]
    except LiuliError:
        every = []
    return every, [(each.reason, each.count) for each in dialogues.skipped]


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_as_the_same_lines_of_json(tmp_path, records, writer):
    if "column_encoding" in writer and any(type(value) is not str for record in records for value in record.values()):
        pytest.skip("an encoding of strings alone")
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet", **writer)
    names = sorted({name for record in records for name in record})
    write(tmp_path / "a.jsonl", jsonl(*({name: record.get(name) for name in names} for record in records)))
    assert found(tmp_path / "a.parquet") == found(tmp_path / "a.jsonl")


def test_many_rows_in_order_and_from_the_middle(tmp_path):
    records = [
        {"messages": [{"role": "user", "content": f"{i}"}, {"role": "assistant", "content": "ab" * (i % 7 + 1)}] * (i % 3 + 1)}
        for i in range(1000)
    ]
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet", row_group_size=130)
    dialogues = list(Dialogues(tmp_path))
    assert [each.messages[0]["content"] for each in dialogues] == [str(i) for i in range(1000)]
    assert dialogues[-1].source == f"{tmp_path / 'a.parquet'}:1000"
    reader = parquet.DialogueParquetReader(Dialogues(tmp_path).files[0], Dialogues(tmp_path).kind)
    assert reader.count() == 1000
    later = list(reader.records(517))
    assert [index for index, _ in later] == list(range(517, 1000))
    assert later[0][1].messages[0]["content"] == "517"


# What is wrong.


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"text": ["a"]}, "no column with dialogues"),
        ({"messages": [b"\xff"]}, "has values that JSON cannot represent"),
        ({"messages": [[{"role": b"x"}]]}, "has values that JSON cannot represent"),
        ({"messages": ["a"]}, '"messages" is not a list of messages'),
        ({"messages": [[["user", "a"]]]}, "unknown dialogue layout"),
        ({"messages": pa.array([], pa.list_(pa.string()))}, "file without any dialogue"),
    ],
    ids=str,
)
def test_tables_of_other_things(tmp_path, table, said):
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(LiuliError, match=said):
        list(Dialogues(tmp_path / "a.parquet"))


DAMAGES = (lambda b: b[:-9], lambda b: b"", lambda b: b[:60] + b"\0" * 60 + b[120:], lambda b: b[:4] + b[9:])


@pytest.mark.parametrize("damage", DAMAGES, ids=["cut off", "empty", "zeros", "shifted"])
def test_broken_files(tmp_path, damage):
    records = RECORDS["ShareGPT"] * 10
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet", compression="none", use_dictionary=False)
    (tmp_path / "a.parquet").write_bytes(damage((tmp_path / "a.parquet").read_bytes()))
    dialogues = Dialogues(tmp_path / "a.parquet")
    with pytest.raises(LiuliError, match="parquet") as error:
        list(dialogues)
    assert "\n" not in str(error.value)


def test_text_that_is_not_utf8(tmp_path):
    strings = pa.array([b"good", b"\xff\xfe bad", b"fine"]).view(pa.binary()).cast(pa.string(), safe=False)
    table = pa.table({"instruction": ["a", "b", "c"], "output": strings})
    pq.write_table(table, tmp_path / "a.parquet")
    dialogues = Dialogues(tmp_path / "a.parquet")
    assert [each.messages[1]["content"] for each in dialogues] == ["good", "fine"]
    (skipped,) = dialogues.skipped
    assert skipped.count == 1
    assert "UTF" in skipped.reason


def test_one_row_that_repeats_a_long_text_is_skipped(tmp_path):
    """Small in the file, where each is an entry of the dictionary."""
    turns = [{"role": role, "content": "x" * 500_000} for _ in range(100) for role in ("user", "assistant")]
    small = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    pq.write_table(pa.table({"messages": [small, turns, small]}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 2_000_000
    dialogues = Dialogues(tmp_path / "a.parquet")
    assert len(list(dialogues)) == 2
    assert [each.reason for each in dialogues.skipped] == ["a row longer than 16 MB"]


def test_a_group_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "LARGEST_GROUP", 100_000)
    turns = [{"role": "user", "content": "x" * 200_000}, {"role": "assistant", "content": "b"}]
    pq.write_table(pa.table({"messages": [turns]}), tmp_path / "a.parquet", use_dictionary=False)
    with pytest.raises(LiuliError, match=r"a row group larger than 0 MB when decompressed: .* with smaller row groups"):
        list(Dialogues(tmp_path / "a.parquet"))
