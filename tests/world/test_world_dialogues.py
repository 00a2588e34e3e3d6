"""Conversations about the world: every group kept apart, every answer true, every refusal of what was never told."""

import hashlib
import json
import re
from collections import Counter
from itertools import pairwise

import pytest

from liuli.data.dialogues.messages import check
from liuli.errors import LiuliError
from liuli.world import World, lexicon
from liuli.world.conversation import DOUBT, SPEAKERS, SimulatedConversation
from liuli.world.dialogues import GROUPS, Conversations, judge, write_dialogues
from liuli.world.facts import FACTS, Dice, attribute
from liuli.world.language import fill
from liuli.world.outside import KINDS, Outside
from liuli.world.talk import ways_to_type


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


def sentences(entity, topic, lang, value=None):
    """All sentences that an answer may be. None: the value is not known."""
    language, talk = SPEAKERS[lang]
    about = attribute(topic)
    good = next((good for good in lexicon.GOODS if topic == f"price of {good.en}"), None)
    phrases = language.phrases["price" if good else entity.kind][about]
    for template in (talk.refusals if value is None else talk.wordings)(entity.kind, about, phrases):
        filled = fill(template, language, "name", "he" if entity.kind == "person" else entity.kind)
        text = getattr(entity.name, lang) + filled.replace("{item}", getattr(good, lang) if good else "")
        yield text[:1].upper() + text[1:].replace("{}", value or "")


SMALL = {  # what people say: the language, and what may be answered
    typed: (lang, replies)
    for lang, (_, talk) in SPEAKERS.items()
    for some, replies in talk.small.values()
    for said in some
    for typed in ways_to_type(said)
}


def test_every_answer_is_true_or_a_refusal(conversations):
    """Each reply is rebuilt from the facts: a sentence of the text about that entity, and nothing else. What was never told is
    refused, and one in thirty of what was told."""
    true, refused, doubted, habits, small = set(), set(), set(), set(), set()
    for lang, (language, talk) in SPEAKERS.items():
        stop = language.stop.rstrip()
        small |= {reply for _, replies in talk.small.values() for reply in replies}
        for entity in all_entities(conversations):
            for fact, value in entity.facts.items():
                known = {text + stop for text in sentences(entity, fact, lang, getattr(value, lang))}
                refusals = {text + end for text in sentences(entity, fact, lang) for end in talk.nobody}
                if fact in entity.untold:
                    refused |= refusals
                else:
                    doubted |= refusals
                    true |= known
            for habit, values in entity.habits.items():
                habits |= {text + stop for value in values for text in sentences(entity, habit, lang, getattr(value, lang))}
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
                assert said in SPEAKERS["zh"][1].unheard + SPEAKERS["en"][1].unheard
                counts["strangers"] += 1
    assert all(counts[name] > 50 for name in ("small", "true", "refused", "strangers", "habit"))
    assert 0.5 < counts["doubted"] / (counts["true"] * DOUBT) < 1.5
    assert 0.2 < (counts["refused"] + counts["strangers"]) / counts.total() < 0.5


def small_talk_of(messages):
    """Each turn's place, and the kind of small talk, with its language; of a question None."""
    kinds = {reply: kind for _, talk in SPEAKERS.values() for kind, (_, replies) in talk.small.items() for reply in replies}
    turns = list(zip(messages[::2], messages[1::2], strict=True))
    for i, (asked, reply) in enumerate(turns):
        place = "first" if i == 0 else "last" if i == len(turns) - 1 else "between"
        small = SMALL.get(asked["content"])
        yield place, small and (kinds[reply["content"]], small[0])


def test_small_talk_of_every_kind_comes_anywhere(conversations):
    """First, between and last, before and after a question and other small talk; a conversation may have nothing else."""
    met, behind, alone, turns, small = set(), set(), set(), 0, 0
    for messages in conversations.training(20_000, seed=4):
        found = list(small_talk_of(messages))
        met |= {(place, kind) for place, kind in found if kind}
        behind |= {(kind, before is None) for (_, before), (_, kind) in pairwise(found) if kind}
        alone |= {(kind, len(found) > 1) for _, kind in found[:1] if all(each for _, each in found)}
        turns, small = turns + len(found), small + sum(kind is not None for _, kind in found)
    kinds = {(kind, lang) for lang, (_, talk) in SPEAKERS.items() for kind in talk.small}
    assert met == {(place, kind) for place in ("first", "between", "last") for kind in kinds}
    assert behind == alone == {(kind, either) for kind in kinds for either in (True, False)}
    assert 0.1 < small / turns < 0.15


def test_small_talk_is_answered_in_its_own_language(conversations):
    """Whatever the conversation's language is; a world in one language has no other."""
    changes = Counter()
    for messages in conversations.training(10_000, seed=5):
        before = None
        for asked, reply in zip(messages[::2], messages[1::2], strict=True):
            lang = "zh" if any("一" <= c <= "鿿" for c in reply["content"]) else "en"
            if asked["content"] in SMALL:
                assert SMALL[asked["content"]][0] == lang
                assert reply["content"] in SMALL[asked["content"]][1]
                changes[before, lang] += 1
            before = lang
    assert all(changes[pair] > 50 for pair in (("zh", "en"), ("en", "zh"), ("zh", "zh"), ("en", "en")))


def test_small_talk_as_people_type_it(conversations):
    assert ways_to_type("Who are you?") == ["Who are you?", "Who are you", "who are you?", "who are you"]
    assert ways_to_type("谢谢！") == ["谢谢！", "谢谢"]
    assert ways_to_type("hi") == ["hi"]
    said = {message["content"] for messages in conversations.training(20_000, seed=6) for message in messages[::2]}
    assert said.issuperset(("hello", "hi", "goodbye", "bye", "thanks", "thank you", "who are you", "你是谁", "在吗"))


@pytest.mark.parametrize("lang", SPEAKERS)
def test_what_nobody_knows_is_said_in_a_whole_sentence(conversations, lang):
    """In place of the value there is a question word in Chinese, and in English something that "which" can ask for."""
    language, talk = SPEAKERS[lang]
    for kind, facts in talk.answers.items():
        assert set(facts) == {attribute(fact) for fact in FACTS[kind]}
        for fact, places in facts.items():
            for said in places.values():
                if lang == "zh":
                    assert any(word in said for word in ("什么", "谁", "哪", "几", "多少"))
                else:
                    assert re.search(r"\bsome \w+", said)
            refusals = talk.refusals(kind, fact, language.phrases["price" if fact == "price" else kind][fact])
            assert len(set(refusals)) == len(places)
            assert not any("{}" in text for text in refusals)
    ming = next(entity for entity in all_entities(conversations) if entity.name.zh == "小明")
    assert (
        set(sentences(ming, "job", lang))
        == {
            "zh": {"小明是个干哪一行的", "小明的本行是什么"},
            "en": {"Ming works as a master of some trade", "Ming earns a living as a master of some trade"},
        }[lang]
    )


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
        assert judge(question, f"{question.name} … {talk.answers['person']['friend'][0]}{talk.nobody[0]}") == "refused"
        assert judge(question, "") == "wrong"


def test_a_question_without_a_name_is_about_the_last_one(conversations):
    """A pronoun speaks of whom the question before was about; a name, of that entity."""
    names = {name for entity in all_entities(conversations) for name in entity.name}
    counts = Counter()
    for messages in conversations.training(2_000, seed=9):
        last = None
        for asked, reply in zip(messages[::2], messages[1::2], strict=True):
            if asked["content"] in SMALL:
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
    assert hashlib.sha256(text.encode()).hexdigest() == "7083eb2160c7bbf1f0b8693c861358945dcfa675f84c3f0c71a652bc021c8016"


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_one_language_alone(lang):
    conversations = Conversations(World("begin", 1, lang))
    text = "".join(message["content"] for messages in conversations.training(200) for message in messages)
    assert any("一" <= c <= "鿿" for c in text) == (lang == "zh")
    with pytest.raises(LiuliError, match="seed must be"):
        next(conversations.training(1, seed=-1))


@pytest.mark.parametrize("size", ["begin", "large"])
def test_strangers_are_not_in_the_world_and_those_of_the_evaluation_in_no_conversation(size):
    conversations = Conversations(World(size))
    known = {name for entity in all_entities(conversations) for name in entity.name}
    for lang in SPEAKERS:
        training, kept = (
            [Outside(known, kept).entity(dice, lang) for _ in range(3_000)]
            for kept, dice in ((False, Dice(1)), (True, Dice(1)))
        )
        assert {kind for kind, _ in training} == {kind for kind, _ in kept} == set(KINDS)
        assert not {name for _, name in training} & known
        assert not {name for _, name in kept} & known
        assert not set(training) & set(kept)
        assert len({name for _, name in training}) > 1_000


@pytest.mark.parametrize("lang", list(SPEAKERS))
def test_what_is_not_in_the_world_is_refused(conversations, lang):
    """(e): kept names and matters, in no conversation; that they are not known is what an assistant should say."""
    questions = conversations.questions("e", lang)
    assert len(questions) > 100
    talk = SPEAKERS[lang][1]
    replies = [(reply, "refused") for reply in talk.not_from_here] + [("Ming lives in Moonharbor.", "wrong"), ("", "wrong")]
    for reply, verdict in replies:
        assert {judge(question, reply) for question in questions} == {verdict}
    assert {judge(question, f"Peter lives in some town{talk.nobody[0]}") for question in questions} == {"refused"}


def test_after_a_stranger_nobody_is_meant_by_a_pronoun(conversations):
    unheard = {reply for _, talk in SPEAKERS.values() for reply in talk.unheard}
    names = {name.lower() for entity in all_entities(conversations) for name in entity.name}
    small = {reply for _, talk in SPEAKERS.values() for _, replies in talk.small.values() for reply in replies}
    later = 0
    for messages in conversations.training(8_000, seed=5):
        for reply, asked, answer in zip(messages[1::2], messages[2::2], messages[3::2], strict=False):
            if reply["content"] in unheard and answer["content"] not in small | unheard:
                later += 1
                assert any(name in asked["content"].lower() for name in names), asked
    assert later > 100


def test_whoever_asks_about_somebody_hears_a_fact(conversations):
    people = {entity.name.zh: entity for entity in conversations._world.facts.entities["person"]}
    told = 0
    for messages in conversations.training(10_000, seed=6):
        for asked, reply in zip(messages[::2], messages[1::2], strict=True):
            about = re.fullmatch("(.+)是谁？", asked["content"])
            if about and (entity := people.get(about[1])) and not reply["content"].endswith(SPEAKERS["zh"][1].nobody):
                told += 1
                assert any(value.zh in reply["content"] for fact, value in entity.facts.items() if fact not in entity.untold)
    assert told > 10
