"""The deletion test of the view influence asks the same question, whichever of the two tokens is called the target."""

import pytest
from helpers import tiny

import liuli
from liuli.inside.influence import influence

TEXT = "the cat sat on the mat"


def test_the_deletion_test_does_not_depend_on_which_token_is_the_target(tmp_path):
    tiny.save(tmp_path)
    model = liuli.load(tmp_path)
    one, other = influence(model, TEXT, "t", "a"), influence(model, TEXT, "a", "t")
    assert one.contrast.value == pytest.approx(-other.contrast.value)
    assert one.deletion == pytest.approx(other.deletion, abs=1e-4)
