"""Rows: nothing of the text is lost or told twice, no document is split in vain, and any row can be the first again."""

import json
from collections import defaultdict
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import liuli
from liuli.data.packing.batch import IGNORED
from liuli.data.packing.pieces import encoded
from liuli.data.split import TextSplit, split_texts
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError
from liuli.learn.rows.rows import Cursor
from liuli.learn.rows.text_rows import TextRows
from liuli.tokens.train import train
from liuli.world import World

WORDS = "小明今天去游乐园玩，坐了过山车。Ada keeps a cat; it is 12 years old.\n"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train([WORDS * 3], vocab_size=280).write(folder)
    return liuli.open_tokenizer(folder)


def split_of(path, texts, how="content"):
    """A folder of texts, one document each, as a split."""
    file = path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return split_texts(Sources([str(file)]), how)


def texts_of(count, longest=60):
    return [f"{i}: " + WORDS[i % 20 :] * (1 + i * 7 % longest // 10) for i in range(count)]


def all_of(batches, rows=3):
    found = []
    while (batch := batches.take(rows)) is not None:
        found.append(batch)
    return found


def one_row(batch, b):
    return list(batch.parts(1, torch.device("cpu")))[b]


def rebuilt(batches):
    """Document -> its ids, put together again from the rows alone: (number, at) of each piece and what stands in its places."""
    ids_of = defaultdict(dict)
    for batch in batches:
        for b, pieces in enumerate(batch.pieces):
            for segment, piece in enumerate(pieces):
                here = batch.segments_BT[b] == segment
                read, predicted = batch.ids_BT[b][here].tolist(), batch.targets_BT[b][here].tolist()
                for offset, id in enumerate([read[0], *predicted]):
                    if offset:  # every id is a target once
                        assert ids_of[piece.number].get(piece.at + offset, (None, False)) != (id, True)
                        ids_of[piece.number][piece.at + offset] = (id, True)
                    else:
                        ids_of[piece.number].setdefault(piece.at, (id, False))
                assert read[1:] == predicted[:-1]
    return {number: [found[at][0] for at in sorted(found)] for number, found in ids_of.items()}


def expected(split, tokenizer):
    found = defaultdict(list)
    for part in encoded(split.training(), tokenizer):
        found[part.number] += part.ids.tolist()
    return found


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.text(st.sampled_from("ab 小明\n12。"), min_size=1, max_size=120), min_size=3, max_size=25),
    length=st.integers(1, 50),
    buffer=st.integers(1, 400),
    seed=st.integers(0, 5),
    epochs=st.sampled_from([1, 2]),
    taken=st.integers(1, 5),
)
def test_the_text_is_rebuilt_from_the_rows(tmp_path_factory, tokenizer, texts, length, buffer, seed, epochs, taken):
    texts = [f"{i}{text}" for i, text in enumerate(texts)]
    split = split_of(tmp_path_factory.mktemp("texts"), texts, "tail:0.2")
    batches = all_of(TextRows(split, tokenizer, length, seed, epochs, buffer), taken)
    assert {len(batch.ids_BT) for batch in batches[:-1]} <= {taken}  # only the last may be short
    wanted = expected(split, tokenizer)
    for epoch in range(epochs):
        rows = [one_row(batch, b) for batch in batches for b in range(len(batch.ids_BT)) if batch.epochs[b] == epoch]
        assert rebuilt(rows) == {number: ids for number, ids in wanted.items() if len(ids) > 1}
        assert sum(int((row.targets_BT != IGNORED).sum()) for row in rows) == sum(len(ids) - 1 for ids in wanted.values())
    held = "".join(tokenizer.decode(wanted[number]) for number in sorted(wanted))
    held += "".join(document.text for document in split.validation())
    assert held == "".join(texts)


def test_a_long_text_in_blocks_is_rebuilt_and_held_out_blocks_leave_no_trace(tmp_path, tokenizer):
    text = "".join(f"Paragraph {i}: {WORDS}\n\n" for i in range(9000))
    (tmp_path / "long.txt").write_text(text, encoding="utf-8")
    split = split_texts(Sources([str(tmp_path / "long.txt")]))
    held = list(split.validation())
    assert held
    assert any(document.part for document in held)
    batches = all_of(TextRows(split, tokenizer, 100, 0, epochs=1, buffer=5000), rows=32)
    (ids,) = rebuilt(batches).values()
    assert tokenizer.decode(ids) == "".join(document.text for document in split.training())
    # No segment reads across a block that is missing: each piece is a stretch of the text as it stands.
    for batch in batches[::10]:
        for pieces in batch.pieces:
            assert all(tokenizer.decode(piece.ids.tolist()).strip("�") in text for piece in pieces)


def test_a_document_that_fits_is_one_segment_with_positions_of_its_own(tmp_path, tokenizer):
    split = split_of(tmp_path, texts_of(200))
    for batch in all_of(TextRows(split, tokenizer, 128, 0, epochs=1)):
        for b, pieces in enumerate(batch.pieces):
            at = 0
            for segment, piece in enumerate(pieces):
                here = slice(at, at + piece.places)
                assert set(batch.segments_BT[b, here].tolist()) == {segment}
                assert batch.positions_BT[b, here].tolist() == list(range(piece.places))
                whole = len(tokenizer.encode(texts_of(200)[piece.number])) + 1 <= 128
                if whole:
                    assert piece.at == 0
                    assert piece.ids[0] == tokenizer.begin[0]
                    assert piece.ids[-1] == tokenizer.end[0]
                at += piece.places
            assert set(batch.segments_BT[b, at:].tolist()) <= {-1}
            assert set(batch.targets_BT[b, at:].tolist()) <= {IGNORED}


def test_rows_of_the_world_are_nearly_full(tmp_path, tokenizer):
    documents = list(World().documents(3000))
    split = split_of(tmp_path, documents)
    length = 5 * max(len(tokenizer.encode(document)) for document in documents[:100])
    batches = all_of(TextRows(split, tokenizer, length, 0, epochs=1), rows=16)
    places = sum(batch.ids_BT.numel() for batch in batches)
    assert sum(int((batch.targets_BT != IGNORED).sum()) for batch in batches) > 0.97 * places


@pytest.mark.parametrize("buffer", [300, 5000], ids=["small buffer", "all in the buffer"])
@pytest.mark.parametrize("stop", [0, 1, 7, 40, 61])
def test_a_cursor_goes_on_to_the_bit(tmp_path, tokenizer, stop, buffer):
    """Through the middle of long documents and into the next epoch; the cursor is plain tensors."""
    split = split_of(tmp_path, texts_of(60, longest=400))

    def begin(cursor=None):
        return TextRows(split, tokenizer, 64, 3, epochs=2, buffer=buffer, cursor=cursor)

    whole = all_of(begin(), rows=1)
    assert len(whole) > 70
    assert whole[-1].epochs == [1]
    first = begin()
    for _ in range(stop):
        first.take(1)
    cursor = first.cursor()
    first.close()
    json.dumps(cursor.settings)
    assert all(isinstance(tensor, torch.Tensor) for tensor in cursor.tensors.values())
    rest = all_of(begin(cursor), rows=1)
    assert len(rest) == len(whole) - stop
    for ours, theirs in zip(rest, whole[stop:], strict=True):
        for name in ("ids_BT", "targets_BT", "positions_BT", "segments_BT"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name))


def test_the_same_rows_however_they_are_taken(tmp_path, tokenizer):
    split = split_of(tmp_path, texts_of(50))
    by_one = torch.cat([batch.ids_BT for batch in all_of(TextRows(split, tokenizer, 64, 0, epochs=1), rows=1)])
    by_five = torch.cat([batch.ids_BT for batch in all_of(TextRows(split, tokenizer, 64, 0, epochs=1), rows=5)])
    assert torch.equal(by_one, by_five)
    other = torch.cat([batch.ids_BT for batch in all_of(TextRows(split, tokenizer, 64, 1, epochs=1), rows=5)])
    assert not torch.equal(by_five[:3], other[:3])


def test_each_epoch_cuts_and_orders_anew_and_gives_everything_again(tmp_path, tokenizer):
    split = split_of(tmp_path, texts_of(40, longest=400))
    epochs = defaultdict(list)
    for batch in all_of(TextRows(split, tokenizer, 50, 0, epochs=3), rows=1):
        epochs[batch.epochs[0]].append(batch)
    assert sorted(epochs) == [0, 1, 2]
    assert rebuilt(epochs[0]) == rebuilt(epochs[1]) == rebuilt(epochs[2]) == expected(split, tokenizer)
    cuts = [{(piece.number, piece.at) for batch in of for pieces in batch.pieces for piece in pieces} for of in epochs.values()]
    assert cuts[0] != cuts[1] != cuts[2]


@pytest.mark.parametrize("buffer", [1, 40, 5000])
@pytest.mark.parametrize("length", [3, 12, 64])
def test_without_an_end_rows_never_end(tmp_path, tokenizer, length, buffer):
    batches = TextRows(split_of(tmp_path, texts_of(3)), tokenizer, length, 0, buffer=buffer)
    rows = [batches.take(4) for _ in range(60)]
    assert all(batch is not None and len(batch.ids_BT) == 4 for batch in rows)
    assert rows[-1].epochs[-1] > 1
    batches.close()
    with pytest.raises(LiuliError, match="closed"):
        batches.take(4)


def test_a_cursor_at_every_row_of_a_long_text_in_blocks(tmp_path, tokenizer):
    """In the middle of a cut document, between its blocks, and at its end."""
    (tmp_path / "long.txt").write_text("".join(f"{WORDS} {i}.\n\n" for i in range(700)), encoding="utf-8")
    (tmp_path / "short.txt").write_text(WORDS, encoding="utf-8")
    split = TextSplit(Sources([str(tmp_path)]), "all of it", edge=(1, 0, 5))

    def begin(cursor=None):
        return TextRows(split, tokenizer, 1000, 3, epochs=2, buffer=3000, cursor=cursor)

    assert len({part.part for part in encoded(split.training(), tokenizer)}) > 2
    whole, walking = all_of(begin(), rows=1), begin()
    assert len(whole) > 40
    for row in whole:
        resumed = begin(walking.cursor())
        for taken in (resumed.take(1), walking.take(1)):
            assert torch.equal(taken.ids_BT, row.ids_BT)
            assert torch.equal(taken.targets_BT, row.targets_BT)
        resumed.close()
    assert walking.take(1) is None
    assert begin(walking.cursor()).take(1) is None


def test_a_cursor_of_other_rows_is_refused(tmp_path, tokenizer):
    split = split_of(tmp_path, texts_of(40))
    cursor = TextRows(split, tokenizer, 64, 0).cursor()
    with pytest.raises(LiuliError, match=r"changed since the checkpoint \(the sequence length\)"):
        TextRows(split, tokenizer, 32, 0, cursor=cursor)
    with pytest.raises(LiuliError, match=r"\(the seed\)"):
        TextRows(split, tokenizer, 64, 1, cursor=cursor)
    with pytest.raises(LiuliError, match=r"\(the sizes of the files\)"):
        TextRows(split_of(tmp_path, texts_of(41)), tokenizer, 64, 0, cursor=cursor)
    other = tmp_path / "tokenizer"
    train([WORDS * 3], vocab_size=270).write(other)
    with pytest.raises(LiuliError, match=r"\(the tokenizer\)"):
        TextRows(split_of(tmp_path, texts_of(40)), liuli.open_tokenizer(other), 64, 0, cursor=cursor)
    with pytest.raises(LiuliError, match=r"\(the sequence length\)"):
        TextRows(split, tokenizer, 64, 0, cursor=Cursor({}, {}))


def test_neighbours_in_a_row_are_no_neighbours_in_the_source(tmp_path, tokenizer):
    batches = all_of(TextRows(split_of(tmp_path, texts_of(400)), tokenizer, 256, 0, epochs=1))
    pairs = [(a.number, b.number) for batch in batches for row in batch.pieces for a, b in pairwise(row)]
    assert sum(b == a + 1 for a, b in pairs) < 0.05 * len(pairs)
    assert sum(b > a for a, b in pairs) < 0.6 * len(pairs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least 1, not 0"),
        ({"seed": -1}, "seed must be .*at least 0"),
        ({"epochs": 0}, "epochs must be .*at least 1"),
        ({"epochs": -3}, "epochs must be .*at least 1"),
        ({"buffer": 0}, "buffer must be .*at least 1"),
    ],
)
def test_settings_out_of_range(tmp_path, tokenizer, change, message):
    with pytest.raises(LiuliError, match=message):
        TextRows(split_of(tmp_path, texts_of(3)), tokenizer, **({"length": 8, "seed": 0} | change))
    with pytest.raises(LiuliError, match="at least 1 sequence"):
        TextRows(split_of(tmp_path, texts_of(3)), tokenizer, 8, 0).take(0)


def test_a_text_much_shorter_than_a_row(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("a b", encoding="utf-8")
    (batch,) = all_of(TextRows(split_texts(Sources([str(tmp_path / "a.txt")]), "tail:0.4"), tokenizer, 64, 0, epochs=1))
    assert (batch.targets_BT != IGNORED).sum() == len(tokenizer.encode("a "))  # begin is read; the end is held out


def test_an_error_while_reading_is_raised_where_rows_are_taken(tmp_path, tokenizer):
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "one"}\n{"text": "two"}\n' * 200, encoding="utf-8")
    split = split_texts(Sources([str(file)], strict=True), "tail:0.5")
    file.write_text('{"text": "one"}\n{"text": \n' * 100, encoding="utf-8")
    batches = TextRows(split, tokenizer, 64, 0)
    for _ in range(3):  # what was not read is not silently left out
        with pytest.raises(LiuliError, match=r"texts\.jsonl"):
            batches.take(1)


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "end", [])
    with pytest.raises(LiuliError, match="has no end-of-text token"):
        TextRows(split_of(tmp_path, texts_of(3)), tokenizer, 64, 0)


def test_nothing_left_to_train_on(tmp_path, tokenizer, monkeypatch):
    split = TextSplit(split_of(tmp_path, texts_of(40)).sources, "by content")
    monkeypatch.setattr("liuli.data.split.held_out", lambda text: True)
    with pytest.raises(LiuliError, match="all of the text is held out"):
        TextRows(split, tokenizer, 64, 0).take(1)


def test_a_cursor_at_every_row_of_several_files(tmp_path, tokenizer):
    """Side by side: each has its own place, and its own rest between two rows."""
    for name, count in (("a", 500), ("b", 150), ("c", 1)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {WORDS} {i}.\n\n" for i in range(count)), encoding="utf-8")
    (tmp_path / "d.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts_of(40)), encoding="utf-8")
    split = TextSplit(Sources([str(tmp_path)]), "all of it", edge=(30, 0, 5))

    def begin(cursor=None):
        return TextRows(split, tokenizer, 500, 3, epochs=2, buffer=3000, cursor=cursor)

    whole, walking = all_of(begin(), rows=1), begin()
    files = [{min(piece.number, 3) for piece in batch.pieces[0]} for batch in whole]
    assert {0, 1, 3} <= set().union(*files[: len(files) // 4])  # each early
    for row in whole:
        cursor = walking.cursor()
        resumed = begin(Cursor(json.loads(json.dumps(cursor.settings)), cursor.tensors))
        for taken in (resumed.take(1), walking.take(1)):
            assert torch.equal(taken.ids_BT, row.ids_BT)
            assert torch.equal(taken.targets_BT, row.targets_BT)
        resumed.close()
    assert walking.take(1) is None
    rows = [one_row(batch, b) for batch in whole for b in range(len(batch.ids_BT)) if batch.epochs[b] == 0]
    assert rebuilt(rows) == {number: ids for number, ids in expected(split, tokenizer).items() if len(ids) > 1}
