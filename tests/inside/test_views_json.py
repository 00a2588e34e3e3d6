"""The JSON of every view: its schema is current and describes what is written, it has no NaN, its arrays are what they were,
and it equals the files from which the drawings are tested."""

import base64
import dataclasses
import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from helpers import golden_views
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays_of

from liuli.inside.arrays import Packed, pack
from liuli.inside.caveats import CAVEATS
from liuli.inside.schema import KINDS, make_schema
from liuli.inside.views import VIEWS, Subject, make_view

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMA = json.loads((DOCS / "views.schema.json").read_text(encoding="utf-8"))
TEXT, OTHER = "the gold 金 cat", "the cold 金 cat"
OF_TEXT = [name for name in VIEWS if name not in ("learning", "compare")]


def view_of(model, name):
    texts = (OTHER,) if name in ("context", "patching") else ()
    models = (model,) if name == "tokens" else ()
    word = {"context": "金", "patching": "a"}.get(name)
    return make_view(name, Subject(model, TEXT, texts, models, word))


def packed_in(value, where=""):
    """All packed arrays of a JSON, with their places."""
    if isinstance(value, dict) and {"dtype", "layout", "data"} <= value.keys():
        yield where, Packed(**{**value, "shape": tuple(value["shape"])})
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from packed_in(each, f"{where}.{name}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from packed_in(each, f"{where}[{number}]")


def unpacked(value):
    """A JSON in which packed arrays are arrays."""
    if isinstance(value, dict) and {"dtype", "layout", "data"} <= value.keys():
        return Packed(**{**value, "shape": tuple(value["shape"])}).unpack()
    if isinstance(value, dict):
        return {name: unpacked(each) for name, each in value.items()}
    return [unpacked(each) for each in value] if isinstance(value, list) else value


# The schema


def test_the_schema_is_current():
    assert make_schema() == SCHEMA, "write it again: python -m liuli.inside.schema > docs/views.schema.json"


def test_the_schema_is_one_and_has_every_view():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert {kind.NAME for kind in KINDS} == VIEWS.keys() - {"compare"}  # which has docs/compare.schema.json
    assert len(SCHEMA["oneOf"]) == len(KINDS)


def test_every_field_says_what_it_holds():
    """Descriptions come from the docstrings' `Attributes`; a field without one is a name that explains itself."""
    for name, definition in SCHEMA["$defs"].items():
        body = definition["properties"].get("body", definition)["properties"]
        for field, described in body.items():
            is_array = described.get("$ref", "").endswith("/Packed")
            assert not is_array or "description" in described, (name, field)


@pytest.mark.parametrize("name", OF_TEXT)
def test_views_are_as_the_schema_says(oracle, name):
    view = view_of(oracle.model, name) if name != "patching" or oracle.name != "stories260k" else None
    if view is None:
        pytest.skip("its tokenizer reads the two texts as different numbers of tokens")
    text = json.dumps(view.to_json(), allow_nan=False)
    jsonschema.validate(json.loads(text), SCHEMA)
    assert json.loads(text)["schema"] == f"{name}@1"
    assert set(view.caveats) <= CAVEATS.keys()


def test_learning_is_as_the_schema_says(begun_run):
    view = make_view("learning", Subject(begun_run, ""))
    jsonschema.validate(json.loads(json.dumps(view.to_json(), allow_nan=False)), SCHEMA)


def test_begun_models(begun_run):
    for name in OF_TEXT:
        word = {"context": "金", "patching": "x"}.get(name)
        texts = {"context": ("变形金刚",), "patching": ("黄金a饰",)}.get(name, ())
        view = make_view(name, Subject(begun_run, "黄金b饰" if name == "patching" else "黄金首饰", texts, word=word))
        assert view.ok, name
        jsonschema.validate(json.loads(json.dumps(view.to_json(), allow_nan=False)), SCHEMA)


def test_a_wrong_json_is_refused(tiny):
    found = json.loads(json.dumps(view_of(tiny, "lens").to_json()))
    for edit in (
        lambda view: view["body"].pop("top"),
        lambda view: view["body"].__setitem__("more", 1),
        lambda view: view.__setitem__("schema", "lens@2"),
        lambda view: view["body"]["entropy"].__setitem__("dtype", "f8"),
    ):
        wrong = json.loads(json.dumps(found))
        edit(wrong)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


def test_caveats_in_both_languages(tiny):
    for name in OF_TEXT:
        view = view_of(tiny, name)
        assert all(view.caveat_texts()) and len(view.caveat_texts("zh")) == len(view.caveats) > 0
        assert view.caveat_texts() != view.caveat_texts("zh")


# Arrays


@pytest.mark.parametrize("name", OF_TEXT)
def test_arrays_come_back_within_the_stated_error(tiny, name):
    view = view_of(tiny, name)
    found = dict(packed_in(view.to_json()["body"]))
    arrays = [each.name for each in dataclasses.fields(view) if isinstance(getattr(view, each.name), np.ndarray)]
    assert {f".{each}" for each in arrays} <= found.keys()
    for field in arrays:
        exact, packed = getattr(view, field), found[f".{field}"]
        values = packed.unpack()
        assert values.shape == exact.shape == packed.shape
        assert (np.isnan(values) == np.isnan(exact)).all()
        assert np.nan_to_num(np.abs(values.astype(np.float64) - exact)).max(initial=0) <= packed.error
        assert packed.error <= (2.5e-4 if packed.dtype == "f2" else 1e-6)  # from fp64 to fp32


NUMBERS = arrays_of.arrays(np.float32, arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))


@given(NUMBERS)
def test_fp32_comes_back_to_the_bit(array):
    packed = pack(array)
    assert packed.error == 0
    np.testing.assert_array_equal(packed.unpack(), array)
    json.dumps(packed.to_json(), allow_nan=False)


@given(arrays_of.arrays(np.float32, (2, 4, 4), elements=some.floats(0, 100, width=32)), some.sampled_from(["f2", "f4"]))
def test_lower_triangles(array, dtype):
    array = np.tril(array)
    packed = pack(array, dtype, "tril")
    raw = base64.b64decode(packed.data)
    assert len(raw) == 2 * 10 * int(dtype[1])  # 10 of 16 entries
    assert np.abs(packed.unpack().astype(np.float64) - array).max() <= packed.error
    assert packed.error <= array.max() / 1024 + 1e-7


def test_whole_numbers_come_back():
    array = np.array([[-1, 0], [151_935, 2**31 - 1]])
    packed = pack(array, "i4")
    assert packed.unpack().tolist() == array.tolist() and packed.unpack().dtype == np.int32


def test_the_bytes_are_little_endian_and_in_c_order():
    assert base64.b64decode(pack(np.array([[1, 2], [3, 4]]), "i4").data) == bytes(
        [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]
    )


# Golden files


def assert_alike(ours, golden, where=""):
    """Numbers within 1e-4; how many points integrated gradients needed depends on the last bits."""
    if isinstance(golden, np.ndarray):
        assert ours.shape == golden.shape, where
        np.testing.assert_allclose(
            ours, golden, rtol=1e-4, atol=1e-4 + (2e-3 if where.endswith(".weights") else 0), err_msg=where
        )
    elif isinstance(golden, dict):
        assert ours.keys() == golden.keys(), where
        for name in golden.keys() - {"points"}:
            assert_alike(ours[name], golden[name], f"{where}.{name}")
    elif isinstance(golden, list):
        assert len(ours) == len(golden), where
        for number, (one, other) in enumerate(zip(ours, golden, strict=True)):
            assert_alike(one, other, f"{where}[{number}]")
    elif isinstance(golden, float) or isinstance(ours, float):
        assert math.isclose(ours, golden, rel_tol=1e-4, abs_tol=1e-4), where
    else:
        assert ours == golden, where


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return golden_views.golden_views(folder)


@pytest.mark.parametrize("name", VIEWS)
def test_golden_files(made, name):
    golden = json.loads((golden_views.GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    ours = json.loads(json.dumps(made[name], allow_nan=False))
    assert_alike(unpacked(ours), unpacked(golden), name)


def test_a_golden_file_that_differs_is_noticed(made):
    for edit in (lambda view: view["body"]["tracked"].pop(), lambda view: view["model"].__setitem__("layers", 3)):
        wrong = json.loads(json.dumps(made["lens"]))
        edit(wrong)
        with pytest.raises(AssertionError):
            assert_alike(unpacked(wrong), unpacked(made["lens"]))
    wrong = json.loads(json.dumps(made["lens"]))
    wrong["body"]["entropy"] = pack(Packed(**wrong["body"]["entropy"]).unpack() + np.float32(0.01)).to_json()
    with pytest.raises(AssertionError):
        assert_alike(unpacked(wrong), unpacked(made["lens"]))
