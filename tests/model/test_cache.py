"""The key/value cache by itself: what is written, what is kept when it changes its size, and how much memory it takes."""

import random

import pytest
import torch
from helpers.memory import peak_bytes

from liuli.model.cache import KVCache, bytes_per_token, default_budget
from liuli.model.config import LARGEST_SIZE, Config

CONFIG = Config("llama", 99, 12, 3, 2, 2, 6, 16, LARGEST_SIZE)  # 3 layers, 2 key/value heads of width 6


def cache_of(slots: int, capacity: int) -> KVCache:
    return KVCache(CONFIG, slots, capacity, "cpu", torch.float32)


def random_pass(cache: KVCache, rng: random.Random) -> tuple[list[int], list[int]]:
    """Some slots, and how many tokens each gets."""
    chosen = rng.sample(range(cache.slots), rng.randrange(1, cache.slots + 1))
    if rng.random() < 0.5:
        chosen.sort()
    room = [cache.capacity - cache.fill[slot] for slot in chosen]
    new = [min(rng.choice([1, 1, 2, 5]), left) for left in room]
    return [slot for slot, count in zip(chosen, new, strict=True) if count], [count for count in new if count]


@pytest.mark.parametrize("by_index", [False, True], ids=["cpu", "other devices"])
def test_every_way_of_writing_gives_the_same(by_index):
    """Against lists of what was written: rows in any order, of any lengths, padded; slots that grow and move; the write that
    other devices than the CPU have."""
    rng = random.Random(0)
    for _ in range(30):
        cache = cache_of(rng.randrange(1, 5), rng.randrange(6, 20))
        expected: list[list[torch.Tensor]] = [[] for _ in range(cache.slots)]
        for _ in range(8):
            slots, new = random_pass(cache, rng)
            if not slots:
                break
            rows = cache.rows(slots, new)
            if by_index:
                rows._on_cpu = rows._as_block = False
                rows._places_N = torch.tensor(rows._places([cache.fill[slot] for slot in slots])).flatten()
            k, v = torch.randn(2, len(slots), max(new), 2, 6).unbind()
            for layer in range(3):
                keys, values = rows.extend(layer, k + layer, v + layer)
                assert keys.shape == values.shape == (len(slots), 2, rows.length, 6)
            rows.commit()
            for b, slot in enumerate(slots):
                expected[slot] += list(torch.stack((k[b, : new[b]], v[b, : new[b]]), 1))
                told = torch.stack(expected[slot])
                assert torch.equal(keys[b, :, : len(told)].transpose(0, 1), told[:, 0] + 2)
                assert torch.equal(values[b, :, : len(told)].transpose(0, 1), told[:, 1] + 2)
            if rng.random() < 0.3:
                cache.resize(cache.slots + rng.randrange(2), max(cache.fill) + rng.randrange(1, 9))
                expected += [[] for _ in range(cache.slots - len(expected))]
        for slot, told in enumerate(expected):
            assert cache.fill[slot] == len(told)
            for layer in range(3):
                assert torch.equal(
                    cache.held[layer][slot, : len(told)], torch.stack(told) + layer if told else torch.empty(0, 2, 2, 6)
                )


def test_what_is_not_held_is_zero_after_a_change_of_size():
    cache = cache_of(2, 4)
    for layer in cache.held:
        layer.fill_(torch.nan)
    cache.fill = [2, 0]
    for layer in cache.held:
        layer[0, :2] = 1.0
    cache.resize(3, 8)
    assert cache.fill == [2, 0, 0]
    assert all(layer.sum() == 2 * 2 * 2 * 6 for layer in cache.held)
    cache.resize(1, 2)
    assert (cache.slots, cache.capacity, cache.fill) == (1, 2, [2])
    with pytest.raises(AssertionError):
        cache.resize(1, 1)  # a token that is held would be lost


def test_copy_clear_and_truncate():
    cache = cache_of(2, 4)
    cache.rows([0], [3]).commit()
    for layer in cache.held:
        layer[0, :3] = 7.0
    cache.copy(0, 1, 2)
    assert cache.fill == [3, 2]
    assert all(torch.equal(layer[1, :2], layer[0, :2]) for layer in cache.held)
    cache.clear(0)
    cache.truncate(1, 1)
    assert cache.fill == [0, 1]
    assert all(layer[0].count_nonzero() == 0 for layer in cache.held)


def test_bytes_are_those_of_the_tensors():
    cache = cache_of(3, 9)
    assert cache.nbytes == 3 * (9 + 1) * bytes_per_token(CONFIG, torch.float32)
    assert 2 * bytes_per_token(CONFIG, torch.bfloat16) == bytes_per_token(CONFIG, torch.float32)


def test_a_change_of_size_takes_one_layer_more_than_it_leaves():
    def grow() -> None:
        cache = KVCache(Config("llama", 99, 12, 8, 2, 2, 6, 16, 4096), 2, 1000, "cpu", torch.float32)
        cache.rows([0, 1], [900, 900]).commit()
        cache.views(0, 2)  # which must not keep the old memory
        cache.resize(2, 2000)
        sizes.append(cache.nbytes)

    sizes: list[int] = []
    peak = peak_bytes(grow)
    one_layer = sizes[0] / 2 / 8
    assert sizes[0] < peak < sizes[0] + 1.1 * one_layer


def test_the_default_budget_is_a_part_of_the_memory():
    assert 10**8 < default_budget(torch.device("cpu")) < 10**14
