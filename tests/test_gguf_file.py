"""The container: read as the package `gguf` reads it; a file that lies is refused in one line, fast, and in little memory."""

import os
import struct
import time
import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest
from helpers import gguf_files

from liuli import gguf_file
from liuli.errors import LiuliError
from liuli.gguf_file import open_gguf


def string(text: bytes | str) -> bytes:
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def key(name: str, kind: int, value: bytes) -> bytes:
    return string(name) + struct.pack("<I", kind) + value


def tensor(name: str, shape: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return string(name) + dimensions + struct.pack("<IQ", kind, offset)


def file(
    keys: tuple[bytes, ...] = (),
    tensors: tuple[bytes, ...] = (),
    data: bytes = bytes(64),
    version: int = 3,
    claims: tuple[int, int] | None = None,
) -> bytes:
    """`claims`: how many tensors and keys it says that it has."""
    counts = struct.pack("<QQ", *(claims or (len(tensors), len(keys))))
    described = b"GGUF" + struct.pack("<I", version) + counts + b"".join(keys) + b"".join(tensors)
    return described + bytes(-len(described) % 32) + data


BAD = {
    "empty": (b"", "is empty"),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder, or download the file",
    ),
    "not GGUF": (b"PK\x03\x04" + bytes(100), "is not a GGUF file"),
    "a future version": (file(version=4), "is GGUF of version 4; versions 2 and 3"),
    "an old version": (file(version=1), "is GGUF of version 1"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + bytes(99), "is big-endian"),
    "too short": (b"GGUF\x03\0\0\0\x01", "it ends within its header"),
    "many tensors": (file(claims=(2**63, 0)), "claims 9,223,372,036,854,775,808 tensors"),
    "more tensors than bytes": (file(claims=(60_000, 0)), "claims 60,000 tensors, but it is too short for them"),
    "many keys": (file(claims=(0, 2**40)), "claims 1,099,511,627,776 metadata keys"),
    "a string of 4 GB": (file((string("a") + struct.pack("<IQ", 8, 2**32),)), "the string a claims 4,294,967,296 bytes"),
    "a key of 2^64 bytes": (file((struct.pack("<Q", 2**64 - 1),)), "a metadata key claims"),
    "text that is not UTF-8": (file((key("a", 8, string(b"\xff")),)), "the string a is not UTF-8"),
    "an unknown type of value": (file((key("a", 13, b""),)), "the value of a is of the unknown type 13"),
    "a key twice": (file((key("a", 4, bytes(4)),) * 2), "the key a occurs twice"),
    "a long array": (file((key("a", 9, struct.pack("<IQ", 4, 2**61)),)), "elements of arrays; at most 10,000,000"),
    "an array longer than the file": (file((key("a", 9, struct.pack("<IQ", 4, 2**20)),)), "1,048,576 elements of a, but it is"),
    "strings that end too late": (
        file((key("a", 9, struct.pack("<IQ", 8, 2) + string("b") + struct.pack("<Q", 10**6)),)), "an element of a ends after",
    ),
    "a string of 2^63 bytes in an array": (
        file((key("a", 9, struct.pack("<IQ", 8, 2) + struct.pack("<Q", 2**63) + bytes(16)),)), "it ends within its header",
    ),
    "arrays in arrays": (
        file((key("a", 9, struct.pack("<IQ", 9, 1)),)), "the elements of the array a are of the unsupported type 9"
    ),
    "no alignment": (file((key("general.alignment", 4, bytes(4)),)), "general.alignment must be a power of two"),
    "a tensor twice": (file(tensors=(tensor("t"), tensor("t", offset=32))), "the tensor t occurs twice"),
    "an unknown type": (file(tensors=(tensor("t", kind=99),)), "the tensor t is of type 99, which is not supported; download"),
    "a type that is not read": (file(tensors=(tensor("t", (256,), 23),)), "the tensor t is of type IQ4_XS, which is not"),
    "five dimensions": (file(tensors=(tensor("t", (1,) * 5),)), "the tensor t has 5 dimensions"),
    "no rows": (file(tensors=(tensor("t", (4, 0)),)), r"the tensor t has a dimension of size 0: \[0, 4\]"),
    "half a block": (file(tensors=(tensor("t", (33,), 8),)), "a row of t has 33 numbers, which is not a multiple of the"),
    "an offset behind the end": (file(tensors=(tensor("t", offset=2**40),)), "the tensor t ends at byte"),
    "an offset of 2^64": (file(tensors=(tensor("t", offset=2**64 - 32),)), "the tensor t ends at byte"),
    "an odd offset": (file(tensors=(tensor("t", offset=4),)), "begins at 4, which is not a multiple of 32"),
    "a size of 2^128": (file(tensors=(tensor("t", (2**63, 2**63)),)), "the tensor t ends at byte"),
    "the same bytes twice": (file(tensors=(tensor("t", (8,)), tensor("u", (8,)))), "the tensors t and u claim the same bytes"),
    "a name that drives a terminal": (file((key("\x1b[31m", 13, b""),)), r"the value of .*31m is of the unknown"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_lie_is_one_line_and_costs_nothing(case, tmp_path):
    data, message = BAD[case]
    (tmp_path / "m.gguf").write_bytes(data)
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(LiuliError, match=message) as refused:
        open_gguf(tmp_path / "m.gguf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\x1b" not in str(refused.value) and "\n" not in str(refused.value)
    assert peak < 2e6
    assert time.perf_counter() - began < 2


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "m.gguf")
    with pytest.raises(LiuliError, match="is not a regular file: give the path of a GGUF file"):
        open_gguf(tmp_path / "m.gguf")


def test_what_the_package_writes_is_read(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    values = {
        "uint8": 200, "int8": -3, "uint16": 60_000, "int16": -5, "uint32": 2**31, "int32": -7, "float32": 1e-6, "bool": True,
        "string": "你好", "uint64": 2**40, "int64": -(2**40), "float64": 0.1,
    }  # fmt: skip
    for kind, value in values.items():
        getattr(writer, f"add_{kind}")(f"x.{kind}", value)
    writer.add_array("x.texts", ["", "a", "😀"])
    writer.add_array("x.numbers", [1.5, 2.5])
    matrices = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(5, np.float16)}
    for name, matrix in matrices.items():
        writer.add_tensor(name, matrix)
    gguf_files.close(writer)
    opened = open_gguf(tmp_path / "m.gguf")
    assert {key: opened.metadata[f"x.{key}"] for key in values} == values
    assert opened.texts("x.texts") == ["", "a", "😀"]
    assert opened.metadata["x.numbers"].tolist() == [1.5, 2.5]
    assert [(each.name, each.type.name, each.shape) for each in opened.tensors.values()] == [
        ("a", "F32", (3, 4)),
        ("b", "F16", (5,)),
    ]
    for name, matrix in matrices.items():
        assert opened.tensors[name].rows.tobytes() == matrix.tobytes()


def test_a_file_that_changed_is_read_again(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(file((key("a", 8, string("one")),)))
    assert open_gguf(path) is open_gguf(path)
    path.unlink()
    path.write_bytes(file((key("a", 8, string("three")),)))
    assert open_gguf(path).text("a") == "three"


def test_released_pages_are_read_again(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("t", np.arange(100_000, dtype=np.float32))
    gguf_files.close(writer)
    stored = open_gguf(tmp_path / "m.gguf").tensors["t"]
    before = stored.rows.tobytes()
    stored.release()
    assert stored.rows.tobytes() == before


def test_damage_anywhere_is_a_clean_error_or_another_file(tmp_path):
    """Bytes changed by chance, and every way to cut a file short: nothing but a LiuliError may come of it."""
    keys = (key("general.architecture", 8, string("llama")), key("a", 9, struct.pack("<IQ", 8, 2) + string("x") + string("yy")))
    good = file(keys, (tensor("t", (8, 2)), tensor("u", (4,), 1, 64)), bytes(96))
    random = np.random.default_rng(0)
    path = Path(tmp_path / "m.gguf")
    for trial in range(1500):
        data = bytearray(good)
        for _ in range(random.integers(1, 4)):
            data[random.integers(len(good))] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(256)])
        if trial % 5 == 0:
            data = data[: random.integers(len(data) + 1)]
        path.write_bytes(data)
        os.utime(path, ns=(trial, trial))
        try:
            opened = gguf_file.open_gguf(path)
            for name in opened.metadata:
                if not isinstance(opened.metadata[name], (str, int, float, np.ndarray)):
                    opened.texts(name)
        except LiuliError:
            pass
