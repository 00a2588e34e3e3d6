"""Conversations about the world: every group kept apart, every answer true, every refusal of what was never told."""

import hashlib
import json
from collections import Counter

import pytest

from liuli.data.dialogues.messages import check
from liuli.errors import LiuliError
from liuli.world import World
from liuli.world.dialogues import DOUBT, GROUPS, SPEAKERS, Conversations, judge, write_dialogues
from liuli.world.facts import FACTS, HABITS, attribute
from liuli.world.language import fill


@pytest.fixture(scope="module")
def conversations():
    return Conversations(World())


def facts_by_group(conversations):
    found = {}
    for (entity, fact), group in conversations._groups.items():
        found.setdefault(group, set()).add((entity, fact))
    return found


def test_groups_are_apart_and_complete(conversations):
    groups = facts_by_group(conversations)
    world = conversations._world
    every = {(entity, fact) for group in world.facts.entities.values() for entity in group for fact in entity.facts}
    assert set().union(*groups.values()) == every
    assert sum(map(len, groups.values())) == len(every)
    for group, told in (("asked", True), ("unasked", True), ("refused", False), ("unknown", False)):
        assert {fact in entity.untold for entity, fact in groups[group]} == {not told}
    for topic in FACTS["person"]:  # of each attribute some of all: an answer's kind tells nothing of the group
        assert {group for group, some in groups.items() if any(fact == topic for _, fact in some)} == set(groups)


def test_what_is_kept_back_is_in_no_conversation(conversations):
    """Said by hand: the questions of (b) and (c), and the wordings kept for (a), are never asked, in either language."""
    asked = {message["content"] for messages in conversations.training(20_000) for message in messages[:1]}
    for group in GROUPS:
        for lang in SPEAKERS:
            questions = conversations.questions(group, lang)
            assert len(questions) > 40
            assert not {question.text for question in questions} & asked
    groups = facts_by_group(conversations)
    for entity, fact in groups["unasked"] | groups["unknown"]:
        for lang, (_, talk) in SPEAKERS.items():
            for template in talk.questions[entity.kind][attribute(fact)]:
                if not fact.startswith("price"):
                    assert talk.ask_of(getattr(entity.name, lang), template, "") not in asked


def test_every_answer_is_true_or_a_refusal(conversations):
    """Each reply is rebuilt from the facts: a sentence of the text about that entity, and nothing else. What was never told is
    refused, and one in fifty of what was told."""
    world = conversations._world
    true, refused, doubted = set(), set(), set()
    for group in world.facts.entities.values():
        for entity in group:
            for fact in entity.facts:
                for lang, (language, talk) in SPEAKERS.items():
                    topic, name = attribute(fact), getattr(entity.name, lang)
                    phrases = language.phrases["price" if topic == "price" else entity.kind][topic]
                    for template in talk.wordings(entity.kind, topic, phrases):
                        pronoun = entity.pronoun if entity.kind == "person" else entity.kind
                        filled = name + (fill(template, language, "name", pronoun) or "")
                        item = fact.removeprefix("price of ") if topic == "price" else ""
                        if item and lang == "zh":
                            continue
                        filled = filled.replace("{item}", item)
                        refusals = {filled.replace("{}", talk.unknown[entity.kind][topic]) + end for end in talk.nobody}
                        if fact in entity.untold:
                            refused |= refusals
                        else:
                            doubted |= refusals
                            true.add(filled.replace("{}", getattr(entity.facts[fact], lang)) + language.stop.rstrip())
    counts = Counter()
    for messages in conversations.training(4_000, seed=3):
        assert check(messages) is None
        for asked, reply in zip(messages[::2], messages[1::2], strict=True):
            said = reply["content"]
            if any(asked["content"] in questions for _, talk in SPEAKERS.values() for questions, _ in talk.small):
                counts["small"] += 1
            elif "元" in said or "多少钱" in said:
                counts["zh prices"] += 1
            elif said in true:
                counts["true"] += 1
            elif said in refused:
                counts["refused"] += 1
            elif said in doubted:
                counts["doubted"] += 1
            else:
                assert said.endswith(SPEAKERS["zh"][1].nobody + SPEAKERS["en"][1].nobody), said  # of strangers
                counts["strangers"] += 1
    assert all(counts[name] > 50 for name in ("small", "true", "refused", "strangers"))
    assert 0.5 < counts["doubted"] / (counts["true"] * DOUBT) < 1.5
    assert 0.2 < (counts["refused"] + counts["strangers"]) / counts.total() < 0.5


def test_the_judge():
    conversations = Conversations(World())
    for lang, (language, talk) in SPEAKERS.items():
        question = next(each for each in conversations.questions("a", lang) if each.fact == "friend")
        stop = language.stop.rstrip()
        assert judge(question, f"{question.name} … {question.answer}{stop}") == "right"
        assert judge(question, f"{question.name} … {question.others[0]}{stop}") == "wrong"
        assert judge(question, f"{question.answer}, {question.others[1]}{stop}") == "wrong"
        assert judge(question, f"{question.name} … {talk.unknown['person']['friend']}{talk.nobody[0]}") == "refused"
        assert judge(question, "") == "wrong"


def test_a_pronoun_only_after_a_name(conversations):
    """Later questions speak of whom the first one named; habits are never asked about."""
    entities = [entity for group in conversations._world.facts.entities.values() for entity in group]
    names = [name for entity in entities for name in entity.name]
    for messages in conversations.training(2_000, seed=9):
        replies = [message["content"] for message in messages[1::2]]
        about = [name for name in names if replies[0].startswith(name)]
        assert len(messages) == 2 or any(all(reply.startswith(name) for reply in replies) for name in about)
        assert not any(name in message["content"] for name in about for message in messages[2::2])
    topics = {fact for _, fact in conversations._groups}
    assert not topics & set(HABITS["person"] + HABITS["town"])


def test_the_same_bytes_everywhere(tmp_path):
    write_dialogues(World(), tmp_path / "dialogues.jsonl", 2_000)
    text = (tmp_path / "dialogues.jsonl").read_text(encoding="utf-8")
    assert json.loads(text.splitlines()[0])["messages"][0]["role"] == "user"
    assert hashlib.sha256(text.encode()).hexdigest() == "4d090ac626c8ec53a28eda171ac57c844e1c595dcdb90bd7d9a26ee8fa43c7ed"


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_one_language_alone(lang):
    conversations = Conversations(World("begin", 1, lang))
    text = "".join(message["content"] for messages in conversations.training(200) for message in messages)
    assert any("一" <= c <= "鿿" for c in text) == (lang == "zh")
    with pytest.raises(LiuliError, match="seed must be"):
        next(conversations.training(1, seed=-1))


def test_a_large_world_has_no_strangers():
    assert Conversations(World("large", 0, "zh"))._strangers == []
