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
from liuli.inside.passage import read_passage
from liuli.inside.self_check import SelfCheck
from liuli.inside.tape import record
from liuli.inside.view import ModelFacts, View
from liuli.model.config import Config
from liuli.tokens import Token

LIMIT = 1e-3  # of a logit: many sums in another order


@dataclass(frozen=True, slots=True)
class PathStage(Record):
    """One stage.

    Attributes:
        name: "text", "ids", "embedding", "attention", "feed-forward", "final norm", "logits" or "choice". layer: its block's
            number; None outside the blocks.
        shape: of its output. dtype: of its numbers; "text" for text.
        bytes: that its output takes.
        flops: of its matrix multiplications: 2 per weight and token, and attention's products.
        parameters: weights that it uses.
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


@dataclass(frozen=True, kw_only=True)
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
    added = [*tape.layers("attention_out"), *tape.layers("feed_forward_out")]
    with torch.inference_mode():
        logits_V = decoder.logits(states_TD[-1:])[0].float()
        sum_TD = torch.stack([tape["embedding"], *added]).sum(0)[0]
        gap = (decoder.logits(decoder.norm(sum_TD[-1:]))[0].float() - logits_V).abs().max().item()
        chosen = int(logits_V.argmax())
        probability = logits_V.softmax(-1)[chosen].item()

    first, number = tape["embedding"][0], states_TD.dtype
    parts = _parts(config, len(read.ids))
    stages = [
        PathStage("text", None, (len(text),), "text", len(text.encode()), 0, 0, None, None, ("tokens",)),
        PathStage("ids", None, (len(read.ids),), "int64", 8 * len(read.ids), 0, 0, None, None, ("tokens",)),
        _stage("embedding", None, first, first, parts["embedding"], ("vectors", "context")),
    ]
    for layer in range(config.layers):
        for name, point in (("attention", "attention_out"), ("feed-forward", "feed_forward_out")):
            out_TD, mid_TD = tape[f"blocks.{layer}.{point}"][0], tape[f"blocks.{layer}.residual_mid"][0]
            residual_TD = mid_TD if name == "attention" else mid_TD + out_TD
            views = ("attention", "ablation") if name == "attention" else ("lens", "ablation")
            stages.append(_stage(name, layer, out_TD, residual_TD, parts[name], views))
    bits = torch.finfo(number).bits // 8
    head = 2 * config.vocab_size * config.width
    stages += [
        _stage("final norm", None, states_TD, None, (0, config.width), ("lens",)),
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
        probability=probability,
    )


def _parts(config: Config, tokens: int) -> dict[str, tuple[float, int]]:
    """FLOPs of all tokens, and parameters, of the embedding and of one block's parts (a full layer, without a window)."""
    matrices = config.width * 2 * (config.heads + config.kv_heads) * config.head_width
    attended = tokens * (tokens + 1) / 2  # a token attends to itself and all before it
    products = 4 * config.heads * config.head_width * attended
    inner = (3 if config.gated else 2) * config.width * config.feed_forward_width
    return {
        "embedding": (0, config.vocab_size * config.width),
        "attention": (2 * tokens * matrices + products, matrices),
        "feed-forward": (2 * tokens * inner, inner),
    }


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
