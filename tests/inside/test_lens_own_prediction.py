"""How the lens follows the model's own prediction after every position, next to the tokens that were asked for."""

import numpy as np

from liuli.inside.lens import lens

TEXT = "小明今天去"


def test_the_prediction_of_every_position_is_followed(tiny):
    view = lens(tiny, TEXT)
    assert (view.final_ranks[:, -1] == 0).all()
    assert np.array_equal(view.final_logprobs[:, -1], view.top_logprobs[:, -1, 0])
    followed = 0
    for p in range(len(view.positions)):
        for r in range(len(view.rows)):
            place = np.flatnonzero(view.top[p, r] == view.top[p, -1, 0])
            if place.size:
                followed += 1
                assert view.final_ranks[p, r] == place[0]
                assert view.final_logprobs[p, r] == view.top_logprobs[p, r, place[0]]
    assert followed > len(view.positions)  # not only in the last row


def test_tokens_that_are_asked_for_do_not_change_it(tiny):
    alone, asked = lens(tiny, TEXT), lens(tiny, TEXT, words=("明", "天"))
    assert len(asked.tracked) > len(alone.tracked)
    assert asked.logprobs.shape[-1] == asked.ranks.shape[-1] == len(asked.tracked)
    assert np.array_equal(alone.final_logprobs, asked.final_logprobs)
    assert np.array_equal(alone.final_ranks, asked.final_ranks)
