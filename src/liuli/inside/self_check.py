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
        "the largest difference between a recomputed probability and that of the step; or, if another token is chosen, how far "
        "that is from being a matter of rounding",
        "重算的概率与这一步记录的概率的最大差距；若重算选出了别的 token，也包括这离舍入误差有多远",
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
        "the difference between the sum of the scores and the change that they explain, as a share of the change, or of 0.5 "
        "logits if the change is smaller",
        "分数之和与它们所解释的变化之间的差距，占变化的比例；变化不到 0.5 个 logit 时，占 0.5 的比例",
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
    "truth_sums_to_1": (
        "the largest distance of the world's probabilities of the next tokens from a sum of 1",
        "世界给出的下一个 token 的概率之和与 1 的最大差距",
    ),
    "last_look_equals_the_model": (
        "the largest difference between a probability that was recorded last and the same of the saved model",
        "最后一次记录的概率与保存的模型算出的概率的最大差距",
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

# How much larger a limit of rounding errors is than in fp32, measured with Qwen 2.5 0.5B and Gemma 3 270M. In bf16, which has 8
# significant bits, the largest error of any check was 204 times its limit in fp32 (path_sums). In fp16, which has 11 bits, it
# was 18 times this limit; errors should be 8 times smaller than in bf16.
FACTORS = {torch.bfloat16: 1000, torch.float16: 125}


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
    return limit * FACTORS.get(dtype, 1)
