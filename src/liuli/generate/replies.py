"""Many prompts answered at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from liuli.generate.engine import Engine, Request
from liuli.generate.record import FinishReason
from liuli.generate.sampling import Sampling
from liuli.model.decoder import Decoder
from liuli.tokens import Tokenizer

AT_ONCE = 32


@dataclass(slots=True)
class Reply:
    """`finish_reason`: stop where it ended by itself."""

    text: str = ""
    ids: int = 0
    finish_reason: FinishReason | None = None


def answer(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    stops: Sequence[int],
    sampling: Sampling,
    max_tokens: int,
    seed: int = 0,
) -> list[Reply]:
    """A reply to each prompt, ids up to where it begins; the i-th with seed `seed` + i.

    Raises:
        LiuliError: a prompt with its reply does not fit the model's context.
    """
    engine = Engine(decoder, tokenizer, AT_ONCE, capacity=max(map(len, prompts), default=0) + max_tokens)
    found: dict[str, Reply] = {}
    for i, ids in enumerate(prompts):
        found[engine.submit(Request(list(ids), sampling, max_tokens, seed + i, (), tuple(stops), None))] = Reply()
    while engine.busy:
        for record in engine.step():
            reply = found[record.request]
            reply.text, reply.ids = reply.text + record.text, reply.ids + (record.token is not None)
            reply.finish_reason = record.finish_reason or reply.finish_reason
    return list(found.values())
