"""docs/taps.md lists exactly what a tap sees: names, order and shapes."""

import re

import torch
from helpers.documented import text_of

from liuli.model.decoder import BLOCK_POINTS


def listed() -> list[tuple[str, str]]:
    """(name, shape) of each row of the table."""
    return re.findall(r"^\| `([\w.]+)` \| \((.*?)\) \|", text_of("docs/taps.md"), re.M)


def test_the_page_lists_the_names_of_the_code():
    blocks = [f"blocks.i.{point}" for point in BLOCK_POINTS]
    assert [name for name, _ in listed()] == ["embedding", *blocks, "final_norm"]


def test_the_page_lists_the_shapes_that_a_tap_gets(tiny):
    config, seen = tiny.config, []

    def record(name, x):
        seen.append((name, tuple(x.shape)))
        return x

    tiny.decoder.hidden(torch.tensor([[0, 5, 6], [0, 7, 8]]), tap=record)
    sizes = {"B": 2, "T": 3, "D": config.width, "H": config.heads, "K": config.kv_heads, "F": config.feed_forward_width}
    sizes |= {"d": config.head_width, "H·d": config.heads * config.head_width}
    shapes = {name: tuple(sizes[each] for each in shape.split(", ")) for name, shape in listed()}
    in_blocks = [name for name in shapes if name.startswith("blocks.i.")]
    wanted = ["embedding"]
    for layer in range(config.layers):
        wanted += [name.replace(".i.", f".{layer}.") for name in in_blocks]
    wanted += ["final_norm"]
    assert [name for name, _ in seen] == wanted
    assert all(shape == shapes[re.sub(r"\.\d+\.", ".i.", name)] for name, shape in seen)
