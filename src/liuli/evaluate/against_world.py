"""Compares a decoder with the exact probabilities of the world: the scorer and the sampler for `liuli.world.compare`.

Legend: B rows, T positions.
"""

from collections.abc import Sequence

import torch

from liuli.errors import LiuliError
from liuli.generate.engine import Engine
from liuli.generate.request import Request
from liuli.generate.sampling import Sampling
from liuli.model.decoder import Decoder
from liuli.model.logprobs import IGNORED, token_logprobs
from liuli.tokens import Tokenizer
from liuli.watch import Watch, unwatched
from liuli.world import END, Comparison, World, compare, token_scorer
from liuli.world.comparison import Scorer
from liuli.world.grammar import KINDS

TOKENS_AT_ONCE = 4096
SAMPLED_AT_ONCE = 64  # prefixes
LONGEST = 24  # tokens of a continuation; every piece of the world is shorter
PARTS = 2 * len(KINDS) + 1  # of a comparison: texts are scored and continuations sampled for each kind; then whole documents


def compare_with_world(
    decoder: Decoder,
    tokenizer: Tokenizer,
    world: World,
    points: int = 200,
    samples: int = 1000,
    watch: Watch = unwatched,
) -> Comparison:
    """The gap by kind of choice, over `points` choices each; `samples` continuations sampled for each.

    Args:
        watch: is called with the part of the comparison that is being computed, the number of its texts that are done, and
            the number of all its texts.

    Raises:
        LiuliError: the tokenizer has no begin-of-text or end-of-text token; a document does not fit the model's context.
    """
    part = 0

    def watch_part(what: str, done: int, total: int) -> None:
        watch(f"part {part} of {PARTS}: {what}", done, total)

    score_texts = world_scorer(decoder, tokenizer, watch_part)

    def score(texts: Sequence[str]) -> Sequence[float]:
        nonlocal part
        part += 1
        return score_texts(texts)

    def sample(prefixes: Sequence[str]) -> Sequence[str]:
        nonlocal part
        part += 1
        return continuations(decoder, tokenizer, prefixes, watch_part)

    watch("choosing texts of the world", 0, 0)
    return compare(world, score, sample, points, samples)


def world_scorer(decoder: Decoder, tokenizer: Tokenizer, watch: Watch = unwatched) -> Scorer:
    """Texts -> their log-probabilities in nats (see `liuli.world.comparison`)."""
    if not tokenizer.end:
        raise LiuliError(
            "the model's tokenizer has no end-of-text token, so it cannot be compared with a world; use a model trained on the "
            "world"
        )
    return token_scorer(tokenizer, lambda rows: log_probabilities(decoder, rows, watch), tokenizer.end[0])


@torch.no_grad()
def log_probabilities(decoder: Decoder, rows: Sequence[Sequence[int]], watch: Watch = unwatched) -> list[float]:
    """The log-probability of each row of ids after its first id, in nats. Rows of similar length share a forward pass."""
    device = decoder.device
    found = [0.0] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    while order:
        watch("scoring texts", len(rows) - len(order), len(rows))
        longest = len(rows[order[-1]])
        count = max(1, TOKENS_AT_ONCE // longest)
        order, some = order[:-count], order[-count:]
        ids_BT = torch.zeros(len(some), longest, dtype=torch.int64)
        targets_BT = torch.full_like(ids_BT, IGNORED)
        for b, i in enumerate(some):
            row = torch.tensor(rows[i])
            ids_BT[b, : len(row)] = row
            targets_BT[b, : len(row) - 1] = row[1:]
        x_ND = decoder.hidden(ids_BT.to(device)).flatten(0, 1)
        logprobs_N = token_logprobs(decoder.head, x_ND, targets_BT.to(device).flatten())
        for i, nats in zip(some, logprobs_N.view(ids_BT.shape).sum(1).tolist(), strict=True):
            found[i] = nats
    return found


def continuations(decoder: Decoder, tokenizer: Tokenizer, prefixes: Sequence[str], watch: Watch = unwatched) -> list[str]:
    """What the model writes after each prefix, sampled at temperature 1, with END if it ends the text."""
    engine = Engine(decoder, tokenizer, slots=SAMPLED_AT_ONCE)
    texts: dict[str, str] = {}
    for seed, prefix in enumerate(prefixes):
        ids = [*tokenizer.begin, *tokenizer.encode(prefix)]
        room = min(LONGEST, decoder.config.context - len(ids))
        if room < 1:
            raise LiuliError(
                f"{prefix!r} has {len(ids)} tokens and does not fit the model's context of {decoder.config.context}, so the "
                f"model cannot be compared with the world; use one with a longer context"
            )
        request = Request(ids, Sampling(temperature=1.0), room, seed, stop_ids=tokenizer.end)
        texts[engine.submit(request)] = ""
    ended = 0
    while engine.busy:
        watch("sampling continuations", ended, len(prefixes))
        for record in engine.step():
            if record.finish_reason == "error":
                raise LiuliError(f"token {record.index} of a continuation: {record.error}")
            ended += record.finish_reason is not None
            texts[record.request] += record.text
            if record.finish_reason == "stop":
                texts[record.request] += END
    return list(texts.values())
