"""What each view cannot show, in English and Chinese. A view names its caveats by these keys."""

CAVEATS: dict[str, tuple[str, str]] = {
    "token.bytes": (
        "A token is a sequence of bytes, not a character. If a character is split into several tokens, it is shown whole at "
        "each of them.",
        "token 是一串字节，不一定是一个字。一个字被切成几个 token 时，每个 token 处都显示整个字。",
    ),
    "map.lossy": (
        "A map in two dimensions shows only part of the differences between vectors. Distances on the map are not distances "
        "in the model. Neighbours are computed from the whole vectors.",
        "二维图只画出向量之间的一部分差别，图上的距离不是模型里的距离。近邻是用完整的向量算的。",
    ),
    "cosine.baseline": (
        "In late layers, the cosine of two unrelated words can be close to 1, because a few dimensions have very large values. "
        "Compare each value with the baseline of random pairs.",
        "后面的层里，少数维度的数值很大，不相干的两个词余弦相似度也可能接近 1。要和随机词对的基线比较。",
    ),
    "causal.left_only": (
        "The model reads from left to right. The vector at a token depends on this token and on earlier ones, never on later "
        "ones.",
        "模型从左往右读。一个 token 处的向量只取决于它自己和前面的 token，与后面的无关。",
    ),
    "attention.not_explanation": (
        "An attention weight says from which token a head read. It does not say why the model answered as it did.",
        "注意力权重说的是一个头从哪个 token 读取信息，不是模型为什么这样回答。",
    ),
    "attention.sink": (
        "A large weight on the first token usually has no meaning: heads that have nothing to read put their weight there.",
        "放在第一个 token 上的大权重通常没有含义：没有东西可读的头把权重放在那里。",
    ),
    "attention.value_norm": (
        "What a head contributes also depends on the size of the value that it reads, so weight × size can have another order "
        "than the weights. The reads of several tokens or heads can cancel each other.",
        "一个头的贡献还取决于它读到的向量有多大，所以权重乘以大小，次序可能与权重不同。"
        "对几个 token、几个头的读取还可能互相抵消。",
    ),
    "attention.post_norm": (
        "In this model, a norm follows attention. Weight × size is the size of a read before this norm, not what is added to "
        "the residual stream.",
        "这个模型在注意力之后还有一次归一化。权重乘以大小是归一化之前的读取大小，不是加进残差流的大小。",
    ),
    "lens.not_belief": (
        "The lens applies the final norm and the head to a middle layer. It says what the model would predict if its later "
        "layers were left out, not what it “thinks”. Early layers may use other directions, which the head cannot read.",
        "透镜把最后的归一化和输出层用在中间层上。它说的是去掉后面的层模型会预测什么，不是模型在“想”什么。"
        "前面的层可能用别的方向，输出层读不出来。",
    ),
    "lens.language": (
        "In models that were trained mostly on English, middle layers can give English words for a Chinese text.",
        "以英文为主训练的模型，中间层对中文文本也可能给出英文词。",
    ),
    "prob.stage": (
        "Probabilities are the models' own (temperature 1, no token removed), not those after the sampler.",
        "概率是模型自身的（温度为 1，没有去掉任何 token），不是采样器处理之后的。",
    ),
    "prob.both_stages": (
        "Two probabilities are shown: the model's own (temperature 1, no token removed), and that after the sampler. The "
        "intervals and the choice are after the sampler.",
        "这里有两种概率：模型自身的（温度为 1，没有去掉任何 token）和采样器处理之后的。区间和选择都在采样器处理之后。",
    ),
    "prob.not_truth": (
        "A high probability does not make a text true. It depends on the exact tokens of the prompt.",
        "概率高不等于内容是真的。概率取决于提示的每一个 token。",
    ),
    "branch.one_path": (
        "A branch is one continuation by this model. All branches use the same random numbers, so that they can be compared.",
        "一个分支只是这个模型的一种续写。各分支用同样的随机数，才能相互比较。",
    ),
    "influence.method": (
        "Different methods give different scores. The deletion score says how well the scores of this method predict what "
        "happens when tokens are removed; a plausible picture proves nothing.",
        "不同的方法给出不同的分数。删除得分说明这个方法的分数能多准地预见去掉 token 之后的变化；看着合理不能证明什么。",
    ),
    "occlusion.unseen": (
        "With a token removed, the text may be one that the model would never read.",
        "去掉一个 token 之后，文本可能是模型从来不会读到的。",
    ),
    "patch.direction": (
        "Patching a part from the intact text shows that the part is sufficient; patching it from the other text, that it is "
        "necessary. If a part is removed, other parts can compensate.",
        "把完好文本的某个部分换进来，说明这个部分够不够；把另一个文本的换进来，说明它是不是必需。去掉一个部分，别的部分可能补上。",
    ),
    "ablation.compensation": (
        "If a part is removed, later parts can compensate for it. So a small change does not mean that the part does nothing.",
        "去掉一个部分，后面的部分可能补上，所以变化小不等于这个部分不起作用。",
    ),
    "ckpt.seed": (
        "This is one run with one seed. Steps are recorded at 0, 1, 2, 4, …, and then at regular intervals.",
        "这是一个随机种子的一次训练。记录的是第 0、1、2、4……步，之后间隔相等。",
    ),
    "gradient.one_step": (
        "This is one step on one text with plain gradient descent. Training uses other optimizers and many texts per step.",
        "这里用普通的梯度下降在一段文本上走一步。训练用别的优化器，每一步有许多文本。",
    ),
    "gradient.adapter": (
        "This model has an adapter. The step moves the weights of the base model as well as those of the adapter; training "
        "with an adapter moves only the adapter.",
        "这个模型带有适配器。这一步同时移动基础模型和适配器的权重；而训练适配器时只移动适配器。",
    ),
    "cmp.same_ids": (
        "The models did not all read the same token ids, so the numbers depend on the prompt format as well as on the model.",
        "各模型读到的 token id 不完全相同，所以这些数字除了反映模型本身，也受提示格式影响。",
    ),
    "cmp.prompts": (
        "One model read several prompts. A log-probability after another prompt than the answer's own says how well the answer "
        "fits there, not how good it is.",
        "这里是一个模型读几个提示。一个回答接在别的提示之后的对数概率，说的是它放在那里有多顺，不是它有多好。",
    ),
}


def caveat(key: str, language: str = "en") -> str:
    """The text of a caveat in English ("en") or Chinese ("zh")."""
    return CAVEATS[key][language == "zh"]
