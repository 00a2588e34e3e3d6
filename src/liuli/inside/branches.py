"""What the model would write if another token had been chosen: a tree of continuations with the same random numbers.

The first continuation is the model's own. At each of its first tokens, the most likely other tokens are put in its place, and
the model continues from there. Token t of every continuation is chosen by the same random number, so that the branches differ
only because of the other token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.generate.engine import Engine
from liuli.generate.model import Model
from liuli.generate.record import StepRecord
from liuli.generate.request import Request
from liuli.inside.passage import Passage, read_passage
from liuli.inside.self_check import SelfCheck, largest, limit_in
from liuli.inside.tape import record
from liuli.inside.view import ModelFacts, View
from liuli.model.logprobs import token_logprobs
from liuli.tokens import Token
from liuli.watch import Watch, unwatched

TOKENS = 8  # of each continuation
FORKS = 3  # at how many of the first tokens other tokens are tried
WIDTH = 3  # how many others at each of them
MIN_PROBABILITY = 0.02  # of another token
LISTED = 10  # candidates in which a token's rank is looked up
SLOTS = 16  # continuations at once
LIMIT = 1e-4  # nats per token


@dataclass(frozen=True, slots=True)
class BranchNode(Record):
    """A token of the tree.

    Attributes:
        index: of the node. parent: the node before; None at the first token.
        depth: the token's number, from 0.
        logprob: the model's own, in nats. total: the sum along the path to here.
        origin: "sampled", "greedy" (temperature 0), or "tried" (put in the place of the model's choice).
        uniform: the random number at this place, which a tried token does not use.
        rank: how many tokens were more likely; None if there were ten or more.
        stop: whether the text ends here.
    """

    index: int
    parent: int | None
    depth: int
    token: Token
    logprob: float
    total: float
    origin: Literal["sampled", "greedy", "tried"]
    uniform: float
    rank: int | None
    stop: bool


@dataclass(frozen=True, slots=True)
class Continuation(Record):
    """A continuation: its last node, its text, and its log-probability in nats."""

    leaf: int
    text: str
    total: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BranchesView(View):
    """The tree of continuations.

    Attributes:
        sampling: the sampler's settings, in force for all branches. tokens: how many each branch has at most.
        nodes: a parent stands before its children. branches: the first one is the model's own.
    """

    NAME: ClassVar[str] = "branches"

    sampling: dict[str, Any]
    tokens: int
    nodes: tuple[BranchNode, ...]
    branches: tuple[Continuation, ...]


class StartWith:
    """A constraint: the text begins with these ids, and anything can follow."""

    def __init__(self, ids: Sequence[int], vocab_size: int):
        self._left = list(ids)
        self._vocab_size = vocab_size

    def mask(self, left: int) -> Tensor:
        return torch.ones(self._vocab_size, dtype=torch.bool)

    def fits(self, token_id: int) -> bool:
        return True

    def accept(self, token_id: int) -> None:
        self._left = self._left[1:]

    def forced(self) -> Sequence[int]:
        return self._left

    def done(self) -> bool:
        return False


def branches(
    model: Model,
    text: str,
    seed: int = 0,
    sampling: Mapping[str, Any] | None = None,
    tokens: int = TOKENS,
    watch: Watch = unwatched,
) -> BranchesView:
    """Returns the tree of continuations of `text`.

    Args:
        seed: of the random numbers. sampling: fields of `Sampling`; those not given are the model's own.
        tokens: the length of each continuation.

    Raises:
        LiuliError: what `read_passage` raises; a setting is out of range; text and continuation do not fit the context.
    """
    read = read_passage(model, text)
    settings = replace(model.sampling, **dict(sampling or {}))
    request = Request(read.ids, settings, tokens, seed, stop_ids=tuple(model.stop_ids), candidates=LISTED)
    (own,) = _run(model, [request], watch)
    begins = _begins(own)
    size = model.config.vocab_size
    others = _run(model, [replace(request, constraint=StartWith(ids, size)) for ids in begins], watch) if begins else []
    tree = _Tree(greedy=settings.temperature == 0)
    found = [tree.add(own, 0), *(tree.add(steps, len(ids)) for ids, steps in zip(begins, others, strict=True))]
    return BranchesView(
        model=ModelFacts.of(model),
        input=read,
        seed=seed,
        checks=(
            SelfCheck(
                "path_sums", _gap(model, read, tree.nodes, found), "nats per token", limit_in(model.decoder.dtype, LIMIT)
            ),
        ),
        caveats=("branch.one_path", "prob.stage"),
        sampling=settings.to_json(),
        tokens=tokens,
        nodes=tuple(tree.nodes),
        branches=tuple(found),
    )


def _run(model: Model, requests: Sequence[Request], watch: Watch) -> list[list[StepRecord]]:
    """The records of each request.

    Raises:
        LiuliError: what the engine raises; a request ended with an error.
    """
    engine = Engine(model.decoder, model.tokenizer, slots=SLOTS)
    found: dict[str, list[StepRecord]] = {engine.submit(request): [] for request in requests}
    total = sum(request.max_tokens for request in requests)
    while engine.busy:
        watch("continuing the branches", sum(map(len, found.values())), total)
        for step in engine.step():
            if step.error is not None:
                raise LiuliError(f"token {step.index}: {step.error}")
            found[step.request].append(step)
    return list(found.values())


def _begins(own: Sequence[StepRecord]) -> list[list[int]]:
    """For each token that is tried: the model's own tokens before it, and the token."""
    found: list[list[int]] = []
    before: list[int] = []
    for step in own[:FORKS]:
        assert step.token is not None and step.scores is not None
        others = [each for each in step.scores.candidates if each.token.id != step.token.id]
        likely = [each for each in others if torch.tensor(each.logprob).exp() >= MIN_PROBABILITY][:WIDTH]
        found += [[*before, each.token.id] for each in likely]
        before.append(step.token.id)
    return found


class _Tree:
    """The nodes so far; equal beginnings of two branches are the same nodes."""

    def __init__(self, greedy: bool):
        self.nodes: list[BranchNode] = []
        self._greedy = greedy
        self._children: dict[tuple[int | None, int], int] = {}  # (parent, id) -> node

    def add(self, steps: Sequence[StepRecord], forced: int) -> Continuation:
        """Adds a branch whose first `forced` tokens were given: the last of them was tried."""
        node, total, text = None, 0.0, ""
        for step in steps:
            assert step.token is not None and step.scores is not None and step.uniform is not None
            text += step.text
            key = node, step.token.id
            if key not in self._children:
                ranks = [each.token.id for each in step.scores.candidates]
                self._children[key] = len(self.nodes)
                tried = step.index == forced - 1
                self.nodes.append(
                    BranchNode(
                        index=len(self.nodes),
                        parent=node,
                        depth=step.index,
                        token=step.token,
                        logprob=step.scores.logprob,
                        total=total + step.scores.logprob,
                        origin="tried" if tried else "greedy" if self._greedy else "sampled",
                        uniform=step.uniform,
                        rank=ranks.index(step.token.id) if step.token.id in ranks else None,
                        stop=step.finish_reason == "stop",
                    )
                )
            node = self._children[key]
            total = self.nodes[node].total
        assert node is not None
        return Continuation(node, text, total)


def _gap(model: Model, read: Passage, nodes: Sequence[BranchNode], found: Sequence[Continuation]) -> float:
    """The largest difference, per token, between a branch's sum and its log-probability in one pass over the whole text."""
    gaps = []
    for branch in found:
        ids: list[int] = []
        node: int | None = branch.leaf
        while node is not None:
            ids.insert(0, nodes[node].token.id)
            node = nodes[node].parent
        states_TD, _ = record(model.decoder, [*read.ids, *ids[:-1]])
        with torch.inference_mode():
            following = torch.tensor(ids, device=states_TD.device)
            logprobs_N = token_logprobs(model.decoder.head, states_TD[len(read.ids) - 1 :], following)
        gaps.append(abs(logprobs_N.sum().item() - branch.total) / len(ids))
    return largest(gaps)
