"""Blocks join to the text, are the same however it is read, and move only near a change."""

import pytest
from helpers.corpora import SHAPES, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from liuli.data.text.blocks import LARGEST, REACH, SPAN, cut


def blocks_of(data: bytes) -> list[bytes]:
    return list(cut([data]))


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_join_to_the_text_and_keep_to_their_sizes(shape):
    data = text_of(shape, 600_000, 1)
    blocks = blocks_of(data)
    assert b"".join(blocks) == data
    assert all(block.decode() for block in blocks)
    assert min(map(len, blocks)) >= SPAN
    assert max(map(len, blocks)) <= LARGEST
    assert SPAN < len(data) / len(blocks) < 3 * SPAN


@pytest.mark.parametrize(("shape", "end"), [("paragraphs", ".\n\n"), ("crlf", "\r\n    \t\r\n"), ("lines", "\n")])
def test_blocks_end_at_paragraphs_or_else_at_lines(shape, end):
    blocks = blocks_of(text_of(shape, 400_000, 2))
    assert all(block.decode().endswith(end) for block in blocks[:-1])


def test_blocks_of_one_long_line_end_at_sentences():
    blocks = blocks_of(text_of("sentences", 400_000, 3))
    assert all(block.decode().endswith(("。", "！", ".", "?")) for block in blocks[:-1])


def test_a_text_of_at_most_16_kb_stays_whole():
    data = text_of("paragraphs", 2 * SPAN, 4)[: 2 * SPAN]
    assert blocks_of(data) == [data]
    assert blocks_of(b"") == []
    assert blocks_of(b"a") == [b"a"]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(SHAPES),
    st.sampled_from([0, 20_000, 90_000, 250_000]),
    st.integers(0, 2),
    st.lists(st.integers(1, 200_000), min_size=1),
)
def test_the_same_blocks_in_whatever_pieces_it_is_read(shape, size, seed, sizes):
    import liuli.data.text.blocks

    data = text_of(shape, size, seed)
    pieces, at = [], 0
    while at < len(data):
        pieces.append(data[at : at + sizes[len(pieces) % len(sizes)] + 999])
        at += len(pieces[-1])
    whole = blocks_of(data)
    assert b"".join(whole) == data
    step = liuli.data.text.blocks.STEP
    try:
        liuli.data.text.blocks.STEP = 70_000  # windows are small, so that there are several
        assert list(cut(pieces)) == whole
    finally:
        liuli.data.text.blocks.STEP = step


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["paragraphs", "crlf", "lines", "sentences", "han", "letters", "mixed"]),
    st.integers(0, 2),
    st.floats(0, 1),
    st.sampled_from(["insert", "delete", "replace"]),
    st.text(max_size=300),
)
def test_a_change_moves_only_the_blocks_near_it(shape, seed, where, how, new):
    data = text_of(shape, 250_000, seed)
    at = int(where * len(data))
    while at < len(data) and data[at] & 0xC0 == 0x80:
        at += 1
    after = at
    if how != "insert":
        after = min(len(data), at + 600)
        while after < len(data) and data[after] & 0xC0 == 0x80:
            after += 1
    changed = data[:at] + (b"" if how == "delete" else new.encode()) + data[after:]
    old, now, place = blocks_of(data), set(blocks_of(changed)), 0
    for block in old:
        if place + len(block) < at - REACH - LARGEST or place > after + REACH + LARGEST:
            assert block in now
        place += len(block)


@pytest.mark.parametrize("shape", ["one letter", "period", "short lines"])
def test_a_text_that_repeats_itself_falls_into_step_again(shape):
    data = text_of(shape, 1_000_000, 5)
    old, now = blocks_of(data), blocks_of(data[:400_000] + b"something else" + data[400_000:])
    assert len(set(now) - set(old)) <= 3


def test_ends_are_the_same_on_every_machine():
    """Written down once: another hash or byte order would put every block of every user on another side."""
    assert [len(block) for block in blocks_of(text_of("mixed", 100_000, 6))] == [15185, 12789, 13722, 41935, 12381, 15220]
