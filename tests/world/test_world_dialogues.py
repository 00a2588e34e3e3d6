"""Conversations about the world: every group kept apart, every answer true, every refusal of what was never told."""

import hashlib
import json
from collections import Counter

import pytest

from liuli.data.dialogues.messages import check
from liuli.errors import LiuliError
from liuli.world import World, lexicon
from liuli.world.conversation import DOUBT, SPEAKERS, SimulatedConversation
from liuli.world.dialogues import GROUPS, Conversations, judge, write_dialogues
from liuli.world.facts import FACTS, Dice, attribute
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


def all_entities(conversations):
    return [entity for group in conversations._world.facts.entities.values() for entity in group]


def questions_of(messages):
    """What people ask, without the words with which a later question begins."""
    for message in messages[::2]:
        text = message["content"]
        for word in ("那", "还有，", "And ", "Tell me: "):
            text = text.removeprefix(word)
        yield text[:1].upper() + text[1:]


def test_what_is_kept_back_is_in_no_conversation(conversations):
    """The questions of (b) and (c), and the wordings kept for (a) and (d), are never asked, in either language."""
    asked = {text for messages in conversations.training(20_000) for text in questions_of(messages)}
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


def sentences(entity, topic, value, lang):
    """All sentences that an answer may be."""
    language, talk = SPEAKERS[lang]
    about = attribute(topic)
    good = next((good for good in lexicon.GOODS if topic == f"price of {good.en}"), None)
    for template in talk.wordings(entity.kind, about, language.phrases["price" if good else entity.kind][about]):
        filled = fill(template, language, "name", "he" if entity.kind == "person" else entity.kind)
        text = getattr(entity.name, lang) + filled.replace("{item}", getattr(good, lang) if good else "").replace("{}", value)
        yield text[:1].upper() + text[1:]


def test_every_answer_is_true_or_a_refusal(conversations):
    """Each reply is rebuilt from the facts: a sentence of the text about that entity, and nothing else. What was never told is
    refused, and one in fifty of what was told."""
    true, refused, doubted, habits, small = set(), set(), set(), set(), set()
    for lang, (language, talk) in SPEAKERS.items():
        stop = language.stop.rstrip()
        small |= {reply for _, replies in talk.small.values() for reply in replies}
        for entity in all_entities(conversations):
            for fact, value in entity.facts.items():
                known = {text + stop for text in sentences(entity, fact, getattr(value, lang), lang)}
                unknown = talk.unknown[entity.kind][attribute(fact)]
                refusals = {text + end for text in sentences(entity, fact, unknown, lang) for end in talk.nobody}
                if fact in entity.untold:
                    refused |= refusals
                else:
                    doubted |= refusals
                    true |= known
            for habit, values in entity.habits.items():
                habits |= {text + stop for value in values for text in sentences(entity, habit, getattr(value, lang), lang)}
    counts = Counter()
    for messages in conversations.training(4_000, seed=3):
        assert check(messages) is None
        for reply in messages[1::2]:
            said = reply["content"]
            for name, texts in (
                ("small", small),
                ("true", true),
                ("refused", refused),
                ("doubted", doubted),
                ("habit", habits),
            ):
                if said in texts:
                    counts[name] += 1
                    break
            else:
                assert said.endswith(SPEAKERS["zh"][1].nobody + SPEAKERS["en"][1].nobody), said  # of strangers
                counts["strangers"] += 1
    assert all(counts[name] > 50 for name in ("small", "true", "refused", "strangers", "habit"))
    assert 0.5 < counts["doubted"] / (counts["true"] * DOUBT) < 1.5
    assert 0.2 < (counts["refused"] + counts["strangers"]) / counts.total() < 0.5


def test_half_of_the_claims_asked_about_are_true(conversations):
    """And the answer is the true sentence, not a yes or no."""
    counts = Counter()
    for lang in SPEAKERS:
        dice = Dice(5)
        for entity in conversations.askable.entities["person"]:
            for fact in conversations.askable.told[entity]:
                conversation = SimulatedConversation(conversations.askable, lang, dice)
                conversation.check(entity, fact, by_name=True)
                asked, reply = (message["content"] for message in conversation.messages)
                value = getattr(entity.facts[fact], lang)
                counts[value in asked] += 1
                assert value in reply or reply.endswith(SPEAKERS[lang][1].nobody)
                assert asked.endswith("？" if lang == "zh" else "?")
    assert 0.4 < counts[True] / counts.total() < 0.6


def test_habits_are_told_as_often_as_they_are_true(conversations):
    """The share of replies that name a person's most frequent ride is the mean of its frequencies."""
    rides = {entity.name.zh: entity.habits["ride"] for entity in all_entities(conversations) if entity.kind == "person"}
    expected, hits = [], []
    for messages in conversations.training(20_000, seed=2):
        for reply in (message["content"] for message in messages[1::2]):
            name = max((each for each in rides if reply.startswith(each)), key=len, default=None)
            said = [value for value in rides[name] if value.zh in reply.removeprefix(name)] if name else []
            if said:
                weights = rides[name]
                top = max(weights, key=weights.__getitem__)
                expected.append(weights[top] / sum(weights.values()))
                hits.append(said[0] == top)
    assert len(hits) > 200
    assert abs(sum(hits) / len(hits) - sum(expected) / len(expected)) < 0.08


def subject_of(reply, names):
    """The longest name that an answer begins with."""
    capital = {name[:1].upper() + name[1:]: name for name in names}
    return max((name for start, name in capital.items() if reply.startswith(start)), key=len)


def test_another_subject(conversations):
    """(d): the same kind of question about another entity comes first, and its answer is no answer here."""
    names = {lang: [getattr(entity.name, lang) for entity in all_entities(conversations)] for lang in SPEAKERS}
    for lang in SPEAKERS:
        questions = conversations.questions("d", lang)
        assert [question.text for question in questions] == [question.text for question in conversations.questions("a", lang)]
        for question in questions:
            assert [message["role"] for message in question.messages] == ["user", "assistant", "user"]
            assert question.before[0]["content"] != question.text
            assert question.name != subject_of(question.before[1]["content"], names[lang])
            assert question.messages[-1]["content"] == question.text


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


def test_a_question_without_a_name_is_about_the_last_one(conversations):
    """A pronoun speaks of whom the question before was about; a name, of that entity."""
    names = {name for entity in all_entities(conversations) for name in entity.name}
    counts = Counter()
    small = {said for _, talk in SPEAKERS.values() for some, _ in talk.small.values() for said in some}
    for messages in conversations.training(2_000, seed=9):
        last = None
        for asked, reply in zip(messages[::2], messages[1::2], strict=True):
            if asked["content"] in small:
                continue
            said = reply["content"]
            about = max((name for name in names if said.lower().startswith(name.lower())), key=len, default=None)
            if about is None:
                continue  # a stranger
            named = about.lower() in asked["content"].lower()
            assert named or about == last, (asked, reply)
            counts["named" if named else "pronoun"] += 1
            counts["another"] += named and last not in (None, about)
            last = about
    assert counts["pronoun"] > 200
    assert counts["another"] > 200


def test_the_same_bytes_everywhere(tmp_path):
    write_dialogues(World(), tmp_path / "dialogues.jsonl", 2_000)
    text = (tmp_path / "dialogues.jsonl").read_text(encoding="utf-8")
    assert json.loads(text.splitlines()[0])["messages"][0]["role"] == "user"
    assert hashlib.sha256(text.encode()).hexdigest() == "9c2b3802ea49ef867ae54abd1eb72903f140cff62531c4acd05986e64df3f365"


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_one_language_alone(lang):
    conversations = Conversations(World("begin", 1, lang))
    text = "".join(message["content"] for messages in conversations.training(200) for message in messages)
    assert any("一" <= c <= "鿿" for c in text) == (lang == "zh")
    with pytest.raises(LiuliError, match="seed must be"):
        next(conversations.training(1, seed=-1))


def test_a_large_world_has_no_strangers():
    assert Conversations(World("large", 0, "zh")).askable.strangers == []
