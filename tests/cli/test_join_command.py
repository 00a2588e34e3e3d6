"""`liuli join` as a person types it. The models are tiny and untrained, so their plans are arbitrary, and always valid."""

import csv
import json
import re

import pytest
from helpers import talking, tiny
from helpers.real_models import real_model

from liuli.act.tables.plan import HOWS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    tiny.save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    (tmp_path / "people.csv").write_text("id,name,note\n1,Ada,a\n2,Bo,b\n3,\x1b[31mCy,c\n", encoding="utf-8")
    (tmp_path / "orders.json").write_text(
        json.dumps([{"id": 1, "amount": 5, "note": "x"}, {"id": 9, "amount": 7, "note": "y"}])
    )
    (tmp_path / "cities.jsonl").write_text('{"id": "1", "city": "Oslo"}\n')
    return tmp_path


def test_the_plan_the_report_and_the_file(liuli, folder):
    result = liuli("join", "model", "all people", "people.csv", "orders.json", "--out", "new/out.csv")
    assert result.code == 0, result.err
    plan = json.loads(result.out.splitlines()[0])
    assert plan["how"] in HOWS and plan["on"] in (["id"], ["note"], ["id", "note"])
    assert f"people (3 rows) and orders (2 rows), {plan['how']} join on {', '.join(plan['on'])}: " in result.out
    rows = list(csv.DictReader((folder / "new" / "out.csv").open(encoding="utf-8")))
    assert f"new/out.csv: {len(rows)} row" in result.out
    assert "\x1b" not in result.out


def test_json_and_three_tables(liuli, folder):
    result = liuli("join", "model", "everything", "people.csv", "orders.json", "cities.jsonl", "--json")
    assert result.code == 0, result.err
    body = json.loads(result.out)
    assert [each["report"]["left"]["table"] for each in body["joins"]] == ["people", "people + orders"]
    for each in body["joins"]:
        assert json.loads(each["text"]) == each["plan"]
        assert sum(each["how"].values()) == pytest.approx(1) and each["how"].keys() == set(HOWS)
        assert each["plan"]["how"] == max(each["how"], key=each["how"].get)
    assert body["result"]["path"] is None
    assert body["result"]["columns"][0]["name"] == "id"


def test_explain(liuli, folder):
    result = liuli("join", "model", "all people", "people.csv", "orders.json", "--explain")
    plan = json.loads(result.out.splitlines()[0])
    shares = dict(re.findall(r"(inner|left|right|outer) (?:<)?([\d.]+)%", result.out.splitlines()[1]))
    assert shares.keys() == set(HOWS) and plan["how"] == max(shares, key=lambda how: float(shares[how]))
    assert "  on, after " in result.out
    assert "result: " in result.out and "--out FILE" in result.out


def test_an_assistant_reads_its_template(liuli, folder):
    talking.save(folder / "assistant", context=4096)
    result = liuli("join", "assistant", "all", "people.csv", "orders.json", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["joins"][0]["examples"] == 8


def test_a_small_context(liuli, folder):
    """Examples that do not fit are left out, and this is said; what never fits is an error."""
    config = json.loads((folder / "model" / "config.json").read_text())
    for context, code in ((1100, 0), (128, 2)):
        (folder / "model" / "config.json").write_text(json.dumps(config | {"max_position_embeddings": context}))
        result = liuli("join", "model", "all", "people.csv", "orders.json")
        assert result.code == code, result.err
        said = "no room for the examples" if code == 0 else "the question and the tables have "
        assert said in result.err


def test_no_shared_column(liuli, folder):
    (folder / "other.csv").write_text("key,x\n1,2\n")
    result = liuli("join", "model", "all", "people.csv", "other.csv")
    assert (result.code, result.out) == (2, "")
    assert "people and other share no column (id, name, note | key, x): give the column to join on the same name" in result.err


def test_the_articles_example(liuli, data, tmp_path, monkeypatch):
    """Exactly the answer of the first article, from a published model of 0.5 B parameters."""
    monkeypatch.chdir(tmp_path)
    model = real_model(data, "qwen2.5-coder-0.5b")
    profits = [("20221231", 75828913858.79), ("20211231", 230951727.5), ("20201231", 5062633598.29)]
    flows = [("20221231", 431466.19), ("20211231", 3225481.84)]
    for name, rows in (("净利润", profits), ("经营活动现金流入", flows)):
        table = [{"报告期": period, name: value, "机构全称": "贵州茅台"} for period, value in rows]
        (tmp_path / f"{name}.json").write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    question = "近三年东方财富、贵州茅台、中国平安的净利润、经营活动现金流入分别是多少"
    result = liuli("join", model, question, "净利润.json", "经营活动现金流入.json", "--out", "out.json", "--explain")
    assert result.code == 0, result.err
    assert result.out.splitlines()[0] == '{"on": ["报告期", "机构全称"], "how": "outer"}'
    joined = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [row["经营活动现金流入"] for row in joined] == [431466.19, 3225481.84, None]
