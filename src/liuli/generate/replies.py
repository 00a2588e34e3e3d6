"""Many prompts answered at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from liuli.errors import LiuliError
from liuli.generate.engine import Engine
from liuli.generate.record import FinishReason
from liuli.generate.request import Request
from liuli.generate.sampling import Sampling
from liuli.model.decoder import Decoder
from liuli.tokens import Tokenizer
from liuli.watch import Watch, unwatched

AT_ONCE = 32


@dataclass(slots=True)
class BatchReply:
    """The reply to one prompt of several.

    Attributes:
        tokens: the number of tokens, with the stop token.
        finish_reason: stop if it ended by itself, length if it has `max_tokens` tokens.
    """

    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason | None = None


def answer(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    stops: Sequence[int],
    sampling: Sampling,
    max_tokens: int | Sequence[int],
    seed: int = 0,
    watch: Watch = unwatched,
) -> list[BatchReply]:
    """A reply to each prompt.

    Args:
        prompts: ids up to where the reply begins.
        stops: ids that end a reply.
        max_tokens: of a reply at most; a sequence has the limit of each reply.
        seed: of the first reply; reply i has `seed` + i.
        watch: is called with the number of replies that have ended, and the number of all.

    Raises:
        LiuliError: a prompt with its reply does not fit the model's context; a token cannot be chosen.
    """
    engine = Engine(decoder, tokenizer, AT_ONCE)
    limits = [max_tokens] * len(prompts) if isinstance(max_tokens, int) else max_tokens
    found: dict[str, BatchReply] = {}
    for i, (ids, limit) in enumerate(zip(prompts, limits, strict=True)):
        name = engine.submit(Request(ids, sampling, limit, seed + i, stop_ids=stops))
        found[name] = BatchReply()
    ended = 0
    while engine.busy:
        watch("generating replies", ended, len(prompts))
        for record in engine.step():
            if record.finish_reason == "error":
                raise LiuliError(f"token {record.index} of a reply: {record.error}")
            reply = found[record.request]
            reply.text += record.text
            if record.token is not None:
                reply.tokens += 1
            reply.finish_reason = record.finish_reason
            ended += record.finish_reason is not None
    return list(found.values())
