"""The tree of other choices: log-probabilities from `transformers`, and the random numbers that all branches share."""

import numpy as np
import pytest
import torch

from liuli import LiuliError
from liuli.inside.branches import FORKS, MIN_PROBABILITY, WIDTH, branches

PROMPT = "the gold"
FREE = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}


def path(view, leaf):
    """The nodes from the first token to a leaf."""
    found, node = [], leaf
    while node is not None:
        found.insert(0, view.nodes[node])
        node = view.nodes[node].parent
    return found


def test_log_probabilities_of_every_branch(oracle):
    view = branches(oracle.model, PROMPT, seed=3, sampling=FREE)
    read = list(view.input.ids)
    assert view.ok
    for branch in view.branches:
        nodes = path(view, branch.leaf)
        ids = [node.token.id for node in nodes]
        logprobs = oracle.logits([*read, *ids])[len(read) - 1 : -1].double().log_softmax(-1)
        expected = logprobs[torch.arange(len(ids)), ids].numpy()
        assert [node.logprob for node in nodes] == pytest.approx(expected, abs=1e-4)
        assert [node.total for node in nodes] == pytest.approx(np.cumsum(expected), abs=1e-3)
        assert branch.total == pytest.approx(expected.sum(), abs=1e-3)
        for node, row in zip(nodes, logprobs, strict=True):
            rank = int((row > row[node.token.id]).sum())
            assert node.rank == (rank if rank < 10 else None)


def test_every_sampled_token_is_where_the_same_random_number_falls(oracle):
    """Inverse CDF in id order, on the logits of `transformers`, with the number of the first branch at this place."""
    view = branches(oracle.model, PROMPT, seed=3, sampling=FREE)
    uniforms = [node.uniform for node in path(view, view.branches[0].leaf)]
    checked = 0
    for branch in view.branches:
        nodes = path(view, branch.leaf)
        ids = [node.token.id for node in nodes]
        probs = oracle.logits([*view.input.ids, *ids])[len(view.input.ids) - 1 : -1].double().softmax(-1).numpy()
        for depth, node in enumerate(nodes):
            if depth < len(uniforms):
                assert node.uniform == uniforms[depth]
            upper = np.cumsum(probs[depth])
            if node.origin == "sampled" and min(abs(upper - node.uniform)) > 1e-4:
                assert node.token.id == (upper > node.uniform).argmax()
                checked += 1
    assert checked > 8


def test_the_first_branch_is_what_the_model_writes(tiny):
    view = branches(tiny, PROMPT, seed=3, tokens=8)
    alone = tiny.complete(PROMPT, max_tokens=8, seed=3)
    assert [node.token.id for node in path(view, view.branches[0].leaf)] == alone.ids
    assert view.branches[0].text == alone.text


def test_which_tokens_are_tried(oracle):
    view = branches(oracle.model, PROMPT, seed=3, sampling=FREE)
    own = path(view, view.branches[0].leaf)
    read = list(view.input.ids)
    for depth, node in enumerate(own[:FORKS]):
        before = [each.token.id for each in own[:depth]]
        probs = oracle.logits([*read, *before])[-1].double().softmax(-1)
        likely = [token for token in probs.argsort(descending=True)[:10].tolist() if token != node.token.id]
        expected = [token for token in likely if probs[token] >= MIN_PROBABILITY][:WIDTH]
        tried = [each.token.id for each in view.nodes if each.origin == "tried" and each.parent == node.parent]
        assert sorted(tried) == sorted(expected)


def test_a_tree_has_parents_before_children_and_no_node_twice(tiny):
    view = branches(tiny, PROMPT, seed=3)
    assert [node.index for node in view.nodes] == list(range(len(view.nodes)))
    assert all(node.parent is None or node.parent < node.index for node in view.nodes)
    places = [(node.parent, node.token.id) for node in view.nodes]
    assert len(places) == len(set(places))


def test_greedy(tiny):
    view = branches(tiny, PROMPT, sampling={"temperature": 0})
    assert {node.origin for node in view.nodes} <= {"greedy", "tried"}
    assert all(node.rank == 0 for node in view.nodes if node.origin == "greedy")


def test_a_branch_ends_at_the_end_of_text(tiny):
    """With a bias, the end-of-text token is chosen early."""
    view = branches(tiny, PROMPT, seed=1, sampling={"logit_bias": {0: 8.0}})
    ends = [node for node in view.nodes if node.stop]
    assert ends and view.ok
    assert {node.token.id for node in ends} == {0}
    assert all(node.parent not in {end.index for end in ends} for node in view.nodes)


def test_no_branch_is_longer_than_asked(tiny):
    view = branches(tiny, PROMPT, tokens=3)
    assert view.tokens == 3 and max(node.depth for node in view.nodes) == 2


def test_bad_input(tiny):
    with pytest.raises(LiuliError, match="context"):
        branches(tiny, "a" * 124)
    with pytest.raises(LiuliError, match="top_p"):
        branches(tiny, PROMPT, sampling={"top_p": 2})
