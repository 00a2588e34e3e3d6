"""The way of one prompt through the model: text → ids → vectors → blocks → logits → choice, stage by stage.

Legend of shape suffixes: T tokens, D width, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from liuli.fields import Record
from liuli.generate.model import Model
from liuli.inside.distributions import logits_in_chunks, logprobs_of
from liuli.inside.passage import read_passage
from liuli.inside.self_check import SelfCheck
from liuli.inside.tape import Tape, record
from liuli.inside.view import ModelFacts, View
from liuli.model.config import Config
from liuli.model.plan import parameter_parts
from liuli.tokens import Token

LIMIT = 1e-3  # of a logit; the sums are the decoder's own and in its order, so the gap is 0 unless a kernel fuses them


@dataclass(frozen=True, slots=True)
class PathStage(Record):
    """One stage.

    Attributes:
        name: "text", "ids", "embedding", "attention", "feed-forward", "final norm", "logits" or "choice". layer: its block's
            number; None outside the blocks.
        shape: of its output. dtype: of its numbers; "text" for text.
        bytes: that its output takes.
        flops: of its matrix multiplications: 2 per weight and token, and those of queries with keys and of weights with values.
        parameters: weights that it uses. A tied head uses those of the embedding.
        size: the mean over tokens of the length (Euclidean norm) of its output's vectors; None if it has none. Of attention
            and feed-forward, it is what they add to the residual stream.
        residual: the same of the residual stream after the stage; None outside.
        views: names of the views that show more of it.
    """

    name: str
    layer: int | None
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    flops: float
    parameters: int
    size: float | None
    residual: float | None
    views: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PathView(View):
    """All stages, in order.

    Attributes:
        flops: of the whole pass. chosen: the most likely next token. probability: the model's own.
    """

    NAME: ClassVar[str] = "path"

    stages: tuple[PathStage, ...]
    flops: float
    chosen: Token
    probability: float


def path(model: Model, text: str) -> PathView:
    """Returns the stages of one pass over `text`, and the most likely next token.

    Raises:
        LiuliError: what `read_passage` raises.
    """
    read = read_passage(model, text)
    config, decoder, tokenizer = model.config, model.decoder, model.tokenizer
    assert tokenizer is not None
    states_TD, tape = record(
        decoder, read.ids, "embedding", "blocks.*.residual_mid", "blocks.*.attention_out", "blocks.*.feed_forward_out"
    )
    logits_V = next(logits_in_chunks(decoder, states_TD[-1:]))[0]
    chosen = int(logits_V.argmax())
    with torch.inference_mode():
        again_TD = decoder.norm(_sum_of_stages(tape))
    gap = (next(logits_in_chunks(decoder, again_TD[-1:]))[0] - logits_V).abs().max().item()

    first, number = tape["embedding"][0], states_TD.dtype
    stages = [
        PathStage("text", None, (len(text),), "text", len(text.encode()), 0, 0, None, None, ("tokens",)),
        PathStage("ids", None, (len(read.ids),), "int64", 8 * len(read.ids), 0, 0, None, None, ("tokens",)),
        _stage("embedding", None, first, first, (0, _parameters(config)["embedding"]), ("vectors", "context")),
    ]
    for layer in range(config.layers):
        for name, point in (("attention", "attention_out"), ("feed-forward", "feed_forward_out")):
            out_TD, mid_TD = tape[f"blocks.{layer}.{point}"][0], tape[f"blocks.{layer}.residual_mid"][0]
            residual_TD = mid_TD if name == "attention" else mid_TD + out_TD
            views = ("attention", "ablation") if name == "attention" else ("lens", "ablation")
            stages.append(_stage(name, layer, out_TD, residual_TD, _cost(config, layer, name, len(read.ids)), views))
    bits = torch.finfo(number).bits // 8
    head = 2 * config.vocab_size * config.width
    stages += [
        _stage("final norm", None, states_TD, None, (0, _parameters(config)["final norm"]), ("lens",)),
        PathStage(
            "logits", None, (config.vocab_size,), _name(number), bits * config.vocab_size, head, head // 2, None, None,
            ("candidates", "lens"),
        ),
        PathStage("choice", None, (), "int64", 8, 0, 0, None, None, ("candidates", "branches")),
    ]  # fmt: skip
    return PathView(
        model=ModelFacts.of(model),
        input=read,
        checks=(SelfCheck("stages_equal_the_model", gap, "logits", LIMIT),),
        caveats=("prob.stage",),
        stages=tuple(stages),
        flops=sum(stage.flops for stage in stages),
        chosen=tokenizer.token(chosen),
        probability=logprobs_of(logits_V[None])[0, chosen].exp().item(),
    )


def _sum_of_stages(tape: Tape) -> Tensor:
    """The residual stream after the last block, (T, D): the stages' outputs, added in the order in which the decoder adds
    them."""
    total_TD = tape["embedding"][0]
    for pair in zip(tape.layers("attention_out"), tape.layers("feed_forward_out"), strict=True):
        for out_1TD in pair:
            total_TD = total_TD + out_1TD[0]
    return total_TD


def _parameters(config: Config) -> dict[str, int]:
    """How many weights each stage uses; of attention and feed-forward, in one block, with the norms before and after them."""
    parts = parameter_parts(config)
    norm = config.width if config.rms_norm else 2 * config.width
    norms = 2 * norm if config.post_norms else norm
    return {
        "embedding": parts["embedding"] + parts["positions"],
        "attention": parts["attention"] // config.layers + norms,
        "feed-forward": parts["feed_forward"] // config.layers + norms,
        "final norm": norm,
    }


def _cost(config: Config, layer: int, name: str, tokens: int) -> tuple[float, int]:
    """FLOPs of all tokens, and parameters, of the attention or the feed-forward network of a block."""
    if name == "attention":
        matrices = config.width * 2 * (config.heads + config.kv_heads) * config.head_width
        window = config.window(layer) or tokens
        attended = sum(min(t, window) for t in range(1, tokens + 1))  # a token attends to itself and to tokens before it
        products = 4 * config.heads * config.head_width * attended
    else:
        matrices, products = (3 if config.gated else 2) * config.width * config.feed_forward_width, 0
    return 2 * tokens * matrices + products, _parameters(config)[name]


def _stage(
    name: str, layer: int | None, x_TD: Tensor, residual_TD: Tensor | None, cost: tuple[float, int], views: tuple[str, ...]
) -> PathStage:
    flops, parameters = cost
    residual = None if residual_TD is None else _size(residual_TD)
    size = math.prod(x_TD.shape) * x_TD.element_size()
    return PathStage(name, layer, tuple(x_TD.shape), _name(x_TD.dtype), size, flops, parameters, _size(x_TD), residual, views)


def _size(x_TD: Tensor) -> float:
    return x_TD.float().norm(dim=-1).mean().item()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
