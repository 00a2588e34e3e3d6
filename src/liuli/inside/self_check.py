"""The checks that every view makes of its own numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from liuli.fields import Record

MEANINGS: dict[str, tuple[str, str]] = {  # what the value of each check is, for people, in English and Chinese
    "distributions_sum_to_1": (
        "the largest distance of a distribution's sum from 1",
        "概率分布之和与 1 的最大差距",
    ),
    "answers_equal_their_steps": (
        "the largest difference between an answer's log-probability and the sum over its steps",
        "一个回答的对数概率与逐步相加之和的最大差距",
    ),
    "every_character_is_covered": (
        "the number of characters, except white space, that no token covers",
        "没有被任何 token 覆盖的字符数（空白除外）",
    ),
    "steps_equal_ids": (
        "the number of token ids that differ between the recorded steps and the tokenizer's result",
        "记录的步骤与分词器的结果之间不同的 token id 数",
    ),
    "cosines_recomputed": (
        "the largest difference between a cosine and the same one in fp64",
        "余弦相似度与用 fp64 重算的最大差距",
    ),
    "identical_prefixes": (
        "the largest difference between vectors that have read the same tokens",
        "读过同样 token 的向量之间的最大差距",
    ),
    "attention_rows_sum_to_1": (
        "the largest distance of a row of attention weights from a sum of 1",
        "注意力权重各行之和与 1 的最大差距",
    ),
    "heads_equal_the_decoder": (
        "the largest difference between weights × values and what the decoder's heads computed",
        "权重乘以 value 与解码器各头算出的结果的最大差距",
    ),
    "last_layer_equals_the_model": (
        "the largest difference between the lens's last row and the model's own logits",
        "透镜最后一行与模型自身 logits 的最大差距",
    ),
    "recomputed_equals_the_step": (
        "the largest difference between a recomputed probability and that of the step",
        "重算的概率与这一步记录的概率的最大差距",
    ),
    "number_in_the_interval": (
        "how far the random number is outside the interval of the chosen token",
        "随机数超出所选 token 区间的距离",
    ),
    "path_sums": (
        "the largest difference, per token, between a branch's log-probability and the same in one pass over its text",
        "一个分支的对数概率与一次读完整段文本算出的对数概率的最大差距（每个 token）",
    ),
    "scores_sum_to_the_difference": (
        "the difference between the sum of the scores and the change that they explain, as a share of the change",
        "分数之和与它们所解释的变化之间的差距，占变化的比例",
    ),
    "patching_everything": (
        "the difference between the preference with all states replaced and that of the first text",
        "替换全部状态之后的偏好与第一个文本的偏好的差距",
    ),
    "patching_nothing": (
        "the difference between the preference with no part replaced and the model's own",
        "什么都不替换时的偏好与模型自身的偏好的差距",
    ),
    "shares_are_at_most_1": (
        "how far the recorded probabilities of a step exceed 1 together",
        "一步里记录的概率之和超出 1 的部分",
    ),
    "losses_equal_the_mean": (
        "the difference between the mean of the tokens' losses and the loss of the step",
        "各 token 损失的平均值与这一步损失的差距",
    ),
    "stages_equal_the_model": (
        "the largest difference between the logits of the path and the model's own",
        "沿路径算出的 logits 与模型自身的最大差距",
    ),
}

UNITS: dict[str, str] = {  # of a value, in Chinese
    "characters": "个字符",
    "cosine": "余弦",
    "largest number": "最大的数",
    "logits": "logit",
    "nats per token": "nat / token",
    "place on the line": "线上的位置",
    "probability": "概率",
    "share of the change": "占变化的比例",
    "share of the largest output": "占最大输出的比例",
    "tokens": "个 token",
    "weight": "权重",
}

IN_16_BITS = 1000  # the factor by which rounding errors are larger: bf16 has 8 significant bits, fp32 has 24


@dataclass(frozen=True, slots=True)
class SelfCheck(Record):
    """Something that must hold for what a view shows to be true: `value`, in `unit`, is at most `limit`. NaN does not hold."""

    name: str
    value: float
    unit: str
    limit: float

    @property
    def ok(self) -> bool:
        return self.value <= self.limit

    @property
    def meaning(self) -> str:
        """What `value` is, for people."""
        return MEANINGS[self.name][0]

    def to_json(self) -> dict[str, Any]:
        return Record.to_json(self) | {"ok": self.ok}


def largest(values: Iterable[float]) -> float:
    """The largest of some values of at least 0; NaN if one of them is NaN, which `max` can hide."""
    return float(np.max([0.0, *values]))


def limit_in(dtype: torch.dtype, limit: float) -> float:
    """The limit of a rounding error that is `limit` in fp32, in the dtype of a decoder."""
    return limit if dtype.itemsize >= 4 else limit * IN_16_BITS
