"""A request: which numbers it takes, and how its constraint ends it."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from liuli.errors import LiuliError
from liuli.generate.conversation import Conversation
from liuli.generate.engine import Engine
from liuli.generate.record import StepRecord
from liuli.generate.request import Request, token_ids
from liuli.generate.sampling import Sampling
from liuli.inside.compare import CompareSettings

INTEGERS = [np.int64, np.int32, np.uint8, torch.tensor, lambda value: torch.tensor(value, dtype=torch.int32)]
NAMES = ["int64", "int32", "uint8", "torch", "torch int32"]


def run(engine: Engine, request: Request) -> list[StepRecord]:
    engine.submit(request)
    found = []
    while engine.busy:
        found += engine.step()
    return found


@pytest.mark.parametrize("integer", INTEGERS, ids=NAMES)
def test_integers_of_other_libraries(tiny, integer):
    """Everywhere, with the result of Python's own."""
    ids, ends = [5, 6, 7], [9, 0]
    plain = Request(ids, Sampling(0.7, 5, logit_bias={8: 2.0}), 12, 3, (), ends, 2)
    sampling = Sampling(np.float32(0.7), integer(5), logit_bias={integer(8): np.float64(2.0)})
    other = Request(
        [integer(token_id) for token_id in ids], sampling, integer(12), integer(3), (), list(map(integer, ends)), integer(2)
    )
    a, b = (run(Engine(tiny.decoder, tiny.tokenizer), request) for request in (plain, other))
    assert [record.token for record in a] == [record.token for record in b]
    assert [len(record.scores.candidates) for record in b] == [2] * len(b)
    assert {type(value) for value in (other.max_tokens, other.seed, other.candidates, sampling.top_k)} == {int}
    assert type(sampling.temperature) is float
    assert json.loads(json.dumps(sampling.to_json()))["logit_bias"] == {"8": 2.0}

    completion = tiny.complete([integer(5), 6], max_tokens=integer(4), seed=integer(7), candidates=integer(1), top_k=integer(9))
    assert completion.ids == tiny.complete([5, 6], max_tokens=4, seed=7, top_k=9).ids
    json.dumps(completion.to_json(), allow_nan=False)
    settings = CompareSettings(integer(7), integer(4), {"top_k": integer(3)})
    assert (type(settings.seed), type(settings.max_tokens)) == (int, int)


@pytest.mark.parametrize("array", [np.array([5, 6, 7]), torch.tensor([5, 6, 7]), (5, 6, 7), range(5, 8)], ids=str)
def test_arrays_of_ids(tiny, array):
    request = Request(array, max_tokens=3, stop_ids=array[:0])
    assert request.ids == (5, 6, 7)
    assert [record.token for record in run(Engine(tiny.decoder), request)]
    assert tiny.complete(array, max_tokens=3, seed=1, stop_ids=array[:2]).prompt_ids == [5, 6, 7]


def test_a_conversation_with_other_integers(tmp_path):
    from helpers import talking

    import liuli

    model = liuli.load(talking.save(tmp_path / "model"))
    talk = Conversation(model, max_tokens=np.int64(8), seed=torch.tensor(7), candidates=np.int32(1), top_k=np.int64(0))
    for expected in (7, 8):
        completion, records = talk.say("你好")
        assert len(list(records)) > 0
        assert completion.seed == expected
        json.dumps(completion.to_json())
    for name, wrong in (("max_tokens", True), ("seed", np.bool_(True)), ("seed", 1.0)):
        with pytest.raises(LiuliError, match=f"^{name} must be a whole number"):
            Conversation(model, **{name: wrong})


NO_INTEGERS = [True, np.bool_(True), torch.tensor(True), 2.0, np.float64(2), "2", [2]]


@pytest.mark.parametrize("wrong", NO_INTEGERS, ids=repr)
def test_what_is_no_integer(tiny, wrong):
    engine = Engine(tiny.decoder, tiny.tokenizer)
    for name in ("max_tokens", "seed", "candidates"):
        with pytest.raises(LiuliError, match=f"^{name} must be "):
            engine.submit(Request([5], **{name: wrong}))
        with pytest.raises(LiuliError, match=f"^{name} must be "):
            tiny.stream([5], **{name: wrong})
    with pytest.raises(LiuliError, match=r"^top_k must be a whole number"):
        Sampling(top_k=wrong)
    if not isinstance(wrong, list):
        with pytest.raises(LiuliError, match=r"^the logit bias contains .*, which is not a token id: give an integer$"):
            Sampling(logit_bias={wrong: 1.0})
    for name in ("ids", "stop_ids"):
        with pytest.raises(LiuliError, match=r"must be a list of token ids, but .* is not an integer$"):
            Request(**{"ids": [5], name: [5, wrong]})
    with pytest.raises(LiuliError, match="a prompt must be a text or a list of ids, not"):
        tiny.complete([5, wrong])
    assert not engine.busy


@pytest.mark.parametrize("wrong", [5, None, np.array(5), torch.tensor(5), object()], ids=repr)
def test_what_is_no_list_of_ids(wrong):
    with pytest.raises(LiuliError, match="the stop ids must be a list of token ids, not"):
        Request([5], stop_ids=wrong)
    with pytest.raises(LiuliError, match="is not an integer"):
        token_ids(np.zeros((2, 2), dtype=int), "x")


@pytest.mark.parametrize("wrong", ["1", True, None, 10**400, float("nan"), [1.0]], ids=lambda value: repr(value)[:9])
@pytest.mark.parametrize(
    "name", ["temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"]
)
def test_settings_that_are_no_numbers(name, wrong):
    with pytest.raises(LiuliError, match=f"^{name} must be "):
        Sampling(**{name: wrong})
    with pytest.raises(LiuliError, match="the logit bias of token 3 must be a number or -inf, not"):
        Sampling(logit_bias={3: wrong})


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.float16(0.5), torch.tensor(0.5), 0.5], ids=repr)
def test_numbers_of_other_libraries(number):
    assert Sampling(number, 0, number, number, number, number, number, {3: number}) == Sampling(
        0.5, 0, 0.5, 0.5, 0.5, 0.5, 0.5, {3: 0.5}
    )
    assert json.loads(json.dumps(Sampling(number).to_json()))["temperature"] == 0.5


def test_ids_that_do_not_exist(tiny):
    for wrong in (-1, 270, 10**30, np.int64(-1)):
        with pytest.raises(LiuliError, match=r"the prompt contains the id -?\d+, but the model's ids are 0 to 269"):
            tiny.complete([5, wrong])


class Fails:
    """A constraint that allows everything, until its `method` fails at the token number `at`."""

    def __init__(self, method: str, at: int, forced: Sequence[int] = ()):
        self.method, self.at, self.tokens = method, at, list(forced)
        self.accepted: list[int] = []

    def _called(self, method: str) -> None:
        if method == self.method and len(self.accepted) == self.at:
            raise RuntimeError("no luck")

    def mask(self, left: int) -> torch.Tensor:
        self._called("mask")
        return torch.ones(270, dtype=torch.bool)

    def accept(self, token_id: int) -> None:
        self._called("accept")
        self.accepted.append(token_id)

    def fits(self, token_id: int) -> bool:
        return True

    def forced(self) -> list[int]:
        self._called("forced")
        return self.tokens[len(self.accepted) :][:1]

    def done(self) -> bool:
        self._called("done")
        return False


@pytest.mark.parametrize(("method", "at", "tokens"), [("accept", 2, 2), ("done", 3, 2), ("mask", 2, 2), ("forced", 2, 2)])
def test_a_token_whose_constraint_fails_does_not_count(tiny, method, at, tokens):
    """The last record has the number and the place of the token that was not added, and none of its text is shown."""
    said = tiny.tokenizer.encode("abcd")
    forced = said if method != "mask" else ()
    records = run(Engine(tiny.decoder, tiny.tokenizer), Request([5, 5], constraint=Fails(method, at, forced), stop=["zz"]))
    assert [record.index for record in records] == list(range(tokens + 1))
    assert [record.position for record in records] == [2 + i for i in range(tokens + 1)]
    assert [record.token is None for record in records] == [False] * tokens + [True]
    assert (records[-1].finish_reason, records[-1].text) == ("error", "")
    assert records[-1].error == f"the method {method} of the constraint raised RuntimeError: no luck; correct the constraint"
    if forced:
        assert "".join(record.text for record in records) == "ab"


def test_text_that_was_held_back_is_shown_when_the_constraint_fails(tiny):
    said = tiny.tokenizer.encode("abz") + tiny.tokenizer.encode("z")
    constraint = Fails("accept", 3, said)
    records = run(Engine(tiny.decoder, tiny.tokenizer), Request([5], constraint=constraint, stop=["zz"]))
    assert [record.text for record in records] == ["a", "b", "", "z"]
    assert records[-1].finish_reason == "error"


@pytest.mark.parametrize(
    ("mask", "forced", "error"),
    [
        (torch.ones(9, dtype=torch.bool), [], "the method mask of the constraint raised TypeError"),
        (torch.ones(270), [], "the method mask of the constraint raised TypeError"),
        (None, [], "the method mask of the constraint raised AttributeError"),
        (None, [270], "the method forced of the constraint raised IndexError"),
        (None, [-1], "the method forced of the constraint raised IndexError"),
        (None, ["a"], "the method forced of the constraint raised TypeError"),
        (None, 3, "the method forced of the constraint raised TypeError"),
    ],
)
def test_a_constraint_that_answers_nonsense_ends_its_own_request_only(tiny, mask, forced, error):
    nonsense = Fails("nothing", 0)
    nonsense.mask = lambda left: mask
    nonsense.forced = lambda: forced
    engine = Engine(tiny.decoder, tiny.tokenizer)
    bad = engine.submit(Request([5], constraint=nonsense))
    good = engine.submit(Request([5], max_tokens=3))
    records = []
    while engine.busy:
        records += engine.step()
    assert [record.error.startswith(error) for record in records if record.request == bad] == [True]
    assert [record.finish_reason for record in records if record.request == good] == [None, None, "length"]


def test_forced_ids_may_be_a_tensor(tiny):
    constraint = Fails("nothing", 0)
    constraint.forced = lambda: torch.tensor([9, 8])[len(constraint.accepted) :]
    records = run(Engine(tiny.decoder, tiny.tokenizer), Request([5], max_tokens=3, constraint=constraint))
    assert [record.token.id for record in records][:2] == [9, 8]
    assert [record.forced for record in records] == [True, True, False]
