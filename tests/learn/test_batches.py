"""Rows: nothing of the text is lost or told twice, no document is split in vain, and any row can be the first again."""

import json
from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import liuli
from liuli.data.sources import Sources
from liuli.data.validation import Split, Validation
from liuli.data.world import World
from liuli.errors import LiuliError
from liuli.learn.batches import IGNORED, Batches, encoded
from liuli.tokens.train import train

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
    return Validation.parse(how).split(Sources([str(file)]))


def texts_of(count, longest=60):
    return [f"{i}: " + WORDS[i % 20 :] * (1 + i * 7 % longest // 10) for i in range(count)]


def all_of(batches, rows=3):
    found = []
    while (batch := batches.take(rows)) is not None:
        found.append(batch)
    return found


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
    for part in encoded(split, tokenizer):
        found[part.number] += part.ids.tolist()
    return found


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.text(st.sampled_from("ab 小明\n12。"), min_size=1, max_size=120), min_size=3, max_size=25),
    length=st.integers(1, 50),
    buffer=st.integers(1, 400),
    seed=st.integers(0, 5),
)
def test_the_text_is_rebuilt_from_the_rows(tmp_path_factory, tokenizer, texts, length, buffer, seed):
    texts = [f"{i}{text}" for i, text in enumerate(texts)]
    split = split_of(tmp_path_factory.mktemp("texts"), texts, "tail:0.2")
    batches = all_of(Batches(split, tokenizer, length, seed, epochs=1, buffer=buffer))
    found, wanted = rebuilt(batches), expected(split, tokenizer)
    assert found == {number: ids for number, ids in wanted.items() if len(ids) > 1}
    assert sum(int((batch.targets_BT != IGNORED).sum()) for batch in batches) == sum(len(ids) - 1 for ids in wanted.values())
    held = "".join(tokenizer.decode(wanted[number]) for number in sorted(wanted))
    held += "".join(document.text for document in split.validation())
    assert held == "".join(texts)


def test_a_long_text_in_blocks_is_rebuilt_and_held_out_blocks_leave_no_trace(tmp_path, tokenizer):
    text = "".join(f"Paragraph {i}: {WORDS}\n\n" for i in range(9000))
    (tmp_path / "long.txt").write_text(text, encoding="utf-8")
    split = Validation.parse("content").split(Sources([str(tmp_path / "long.txt")]))
    held = list(split.validation())
    assert held
    assert any(document.part for document in held)
    batches = all_of(Batches(split, tokenizer, 100, 0, epochs=1, buffer=5000), rows=32)
    (ids,) = rebuilt(batches).values()
    assert tokenizer.decode(ids) == "".join(document.text for document in split.training())
    # No segment reads across a block that is missing: each piece is a stretch of the text as it stands.
    for batch in batches[::10]:
        for pieces in batch.pieces:
            assert all(tokenizer.decode(piece.ids.tolist()).strip("�") in text for piece in pieces)


def test_a_document_that_fits_is_one_segment_with_positions_of_its_own(tmp_path, tokenizer):
    split = split_of(tmp_path, texts_of(200))
    for batch in all_of(Batches(split, tokenizer, 128, 0, epochs=1)):
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
    batches = all_of(Batches(split, tokenizer, length, 0, epochs=1), rows=16)
    places = sum(batch.ids_BT.numel() for batch in batches)
    assert sum(int((batch.targets_BT != IGNORED).sum()) for batch in batches) > 0.97 * places


@pytest.mark.parametrize("buffer", [300, 5000], ids=["small buffer", "all in the buffer"])
@pytest.mark.parametrize("stop", [0, 1, 7, 40, 61])
def test_a_cursor_goes_on_to_the_bit(tmp_path, tokenizer, stop, buffer):
    """Through the middle of long documents and into the next epoch; the cursor is plain tensors."""
    split = split_of(tmp_path, texts_of(60, longest=400))

    def begin(cursor=None):
        return Batches(split, tokenizer, 64, 3, epochs=2, buffer=buffer, cursor=cursor)

    whole = all_of(begin(), rows=1)
    assert len(whole) > 70
    assert whole[-1].epochs == [1]
    first = begin()
    for _ in range(stop):
        first.take(1)
    cursor = first.cursor()
    first.close()
    assert all(isinstance(tensor, torch.Tensor) for tensor in cursor.values())
    rest = all_of(begin(cursor), rows=1)
    assert len(rest) == len(whole) - stop
    for ours, theirs in zip(rest, whole[stop:], strict=True):
        for name in ("ids_BT", "targets_BT", "positions_BT", "segments_BT"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name))


def test_the_same_rows_however_they_are_taken(tmp_path, tokenizer):
    split = split_of(tmp_path, texts_of(50))
    by_one = torch.cat([batch.ids_BT for batch in all_of(Batches(split, tokenizer, 64, 0, epochs=1), rows=1)])
    by_five = torch.cat([batch.ids_BT for batch in all_of(Batches(split, tokenizer, 64, 0, epochs=1), rows=5)])
    assert torch.equal(by_one, by_five)
    other = torch.cat([batch.ids_BT for batch in all_of(Batches(split, tokenizer, 64, 1, epochs=1), rows=5)])
    assert not torch.equal(by_five[:3], other[:3])


def test_each_epoch_cuts_and_orders_anew_and_gives_everything_again(tmp_path, tokenizer):
    split = split_of(tmp_path, texts_of(40, longest=400))
    epochs = defaultdict(list)
    for batch in all_of(Batches(split, tokenizer, 50, 0, epochs=3), rows=1):
        epochs[batch.epochs[0]].append(batch)
    assert sorted(epochs) == [0, 1, 2]
    assert rebuilt(epochs[0]) == rebuilt(epochs[1]) == rebuilt(epochs[2]) == expected(split, tokenizer)
    cuts = [{(piece.number, piece.at) for batch in of for pieces in batch.pieces for piece in pieces} for of in epochs.values()]
    assert cuts[0] != cuts[1] != cuts[2]


def test_without_an_end_rows_never_end(tmp_path, tokenizer):
    batches = Batches(split_of(tmp_path, texts_of(3)), tokenizer, 64, 0)
    rows = [batches.take(4) for _ in range(20)]
    assert all(batch is not None and len(batch.ids_BT) == 4 for batch in rows)
    batches.close()


def test_a_text_much_shorter_than_a_row(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("a b", encoding="utf-8")
    (batch,) = all_of(
        Batches(Validation.parse("tail:0.4").split(Sources([str(tmp_path / "a.txt")])), tokenizer, 64, 0, epochs=1)
    )
    assert (batch.targets_BT != IGNORED).sum() == len(tokenizer.encode("a "))  # begin is read; the end is held out


def test_an_error_while_reading_is_raised_where_rows_are_taken(tmp_path, tokenizer):
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "one"}\n{"text": "two"}\n' * 200, encoding="utf-8")
    split = Validation.parse("tail:0.5").split(Sources([str(file)], strict=True))
    file.write_text('{"text": "one"}\n{"text": \n' * 100, encoding="utf-8")
    with pytest.raises(LiuliError, match=r"texts\.jsonl"):
        Batches(split, tokenizer, 64, 0).take(1)


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "end", [])
    with pytest.raises(LiuliError, match="names no end token"):
        Batches(split_of(tmp_path, texts_of(3)), tokenizer, 64, 0)


def test_nothing_left_to_train_on(tmp_path, tokenizer, monkeypatch):
    split = Split(split_of(tmp_path, texts_of(40)).sources, "by content")
    monkeypatch.setattr("liuli.data.validation.held_out", lambda text: True)
    with pytest.raises(LiuliError, match="all of the text is held out"):
        Batches(split, tokenizer, 64, 0).take(1)
