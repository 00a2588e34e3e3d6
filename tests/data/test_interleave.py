"""Files side by side: all of the text, each file in its order, every file early, and the same from any place on."""

import json
from collections import defaultdict

import pytest

from liuli.data.split import split_texts
from liuli.data.text.interleave import BEFORE, MOST, interleaved, lanes_of
from liuli.data.text.sources import Sources

LINE = "小明今天去游乐园玩，坐了过山车。 {}\n\n"


def folder_of(path, longs=(3000, 800), lines=(400, 40, 1)):
    for i, count in enumerate(longs):
        (path / f"long-{i}.txt").write_text("".join(LINE.format(n) for n in range(count)), encoding="utf-8")
    for i, count in enumerate(lines):
        text = "".join(json.dumps({"text": f"{i} {n}"}) + "\n" for n in range(count))
        (path / f"lines-{i}.jsonl").write_text(text, encoding="utf-8")
    (path / "nothing.txt").write_text("", encoding="utf-8")
    return path


def place_of(document):
    return document.number, document.part


@pytest.mark.parametrize("how", ["content", "tail:0.3", "tail:0.9"])
@pytest.mark.parametrize("most", [MOST, 2, 1])
def test_all_of_the_text_each_lane_in_its_order(tmp_path, monkeypatch, how, most):
    monkeypatch.setattr("liuli.data.text.interleave.MOST", most)
    split = split_texts(Sources([str(folder_of(tmp_path))]), how)
    lanes = lanes_of(split.sources)
    assert len(lanes) <= most
    found = list(interleaved(split, lanes, [BEFORE] * len(lanes)))
    assert sorted(found, key=place_of) == list(split.training())
    for lane in lanes:
        places = [place_of(each) for each in found if lane.first <= each.number < lane.end]
        assert places == sorted(places)


def test_every_file_is_read_in_proportion(tmp_path):
    split = split_texts(Sources([str(folder_of(tmp_path))]))
    lanes = lanes_of(split.sources)
    assert len(lanes) == 5
    found = list(interleaved(split, lanes, [BEFORE] * len(lanes)))
    half = found[: len(found) // 2]
    for lane in lanes:
        share = max((lane.passed(place_of(each)) for each in half if lane.first <= each.number < lane.end), default=0)
        blocks = sum(lane.first <= each.number < lane.end for each in found)
        assert abs(share - 0.5) < 0.1 + 1.5 / blocks


def test_it_goes_on_from_any_place_as_if_it_had_never_stopped(tmp_path):
    split = split_texts(Sources([str(folder_of(tmp_path, lines=(30, 4)))]))
    lanes = lanes_of(split.sources)
    places = dict.fromkeys(range(len(lanes)), BEFORE)
    whole = list(interleaved(split, lanes, list(places.values())))
    for i, document in enumerate(whole):
        assert list(interleaved(split, lanes, list(places.values()))) == whole[i:]
        places[next(n for n, lane in enumerate(lanes) if lane.first <= document.number < lane.end)] = place_of(document)


def test_many_files_share_lanes_of_about_one_size(tmp_path):
    for i in range(300):
        (tmp_path / f"{i:03}.txt").write_text("a" * (1 + i % 7) * 100, encoding="utf-8")
    lanes = lanes_of(Sources([str(tmp_path)]))
    assert len(lanes) == MOST
    assert [lane.first for lane in lanes[1:]] == [lane.end for lane in lanes[:-1]]
    assert (lanes[0].first, lanes[-1].end) == (0, 300)
    sizes = defaultdict(float, {lane.first: lane.mean * (lane.end - lane.first) for lane in lanes})
    assert max(sizes.values()) - min(sizes.values()) < 2 * 700
