"""The list of all views: what each shows and what it uses. It is apart from `views.py`, which makes them, because that imports
PyTorch: the command line lists views and checks options without it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ViewKind:
    """A view that can be made.

    Attributes:
        shows: a sentence that tells the user what the view shows. shows_zh: the same sentence in Chinese.
        uses: which fields of a `views.Subject` it uses other than model and text.
        reads_text: whether it needs a text.
    """

    shows: str
    shows_zh: str
    uses: frozenset[str] = frozenset()
    reads_text: bool = True


OPTIONS = {  # how the fields of a subject are given to `liuli look`
    "texts": "--with-text",
    "models": "--with-model",
    "world": "--world",
    "word": "--word",
    "layer": "--layer",
    "seed": "--seed",
    "sampling": "the sampling options",
}


def unused(setting: str, view: str) -> str:
    """The error for something that was given to a view that does not use it. `setting`: a key of `OPTIONS`."""
    them = "them" if setting == "sampling" else "it"
    return f"the view {view} does not use {OPTIONS[setting]}: leave {them} out, or choose another view"


VIEWS: dict[str, ViewKind] = {
    "path": ViewKind(
        "The way of the text through the model: the size and the cost of every stage.",
        "文本在模型里走过的路：每一步的大小和计算量。",
    ),
    "tokens": ViewKind(
        "How the text becomes tokens, merge by merge.",
        "文本怎样一步步合并成 token。",
        frozenset({"models"}),
    ),
    "vectors": ViewKind(
        "The vectors of the tokens: their numbers, their nearest neighbours, and a map.",
        "token 的向量：数值、最近的邻居和一张图。",
    ),
    "context": ViewKind(
        "One word in several sentences: how its vector differs, layer by layer.",
        "同一个词在几个句子里：它的向量逐层有多大差别。",
        frozenset({"texts", "word"}),
    ),
    "attention": ViewKind(
        "What every attention head reads.",
        "每个注意力头从哪里读取信息。",
        frozenset({"layer"}),
    ),
    "lens": ViewKind(
        "What every layer would predict.",
        "每一层会预测什么。",
        frozenset({"word"}),
    ),
    "candidates": ViewKind(
        "The next token: its candidates, the rules that remove some of them, and the random number that chooses.",
        "下一个 token：候选、筛掉候选的规则，以及做出选择的随机数。",
        frozenset({"seed", "sampling"}),
    ),
    "branches": ViewKind(
        "How the text would continue if another token had been chosen.",
        "如果选了另一个 token，文本会怎样继续。",
        frozenset({"seed", "sampling"}),
    ),
    "influence": ViewKind(
        "Which tokens of the text make the prediction, by three methods and with a test of each.",
        "文本里哪些 token 促成了这个预测：三种方法，每种都经过检验。",
        frozenset({"word"}),
    ),
    "ablation": ViewKind(
        "What the prediction loses without each head and each layer.",
        "去掉每个头、每一层，预测会失去什么。",
        frozenset({"word"}),
    ),
    "patching": ViewKind(
        "Which states carry the difference between two texts.",
        "两个文本的差别由哪些状态携带。",
        frozenset({"texts", "word"}),
    ),
    "gradient": ViewKind(
        "One step of learning on the text: the losses, and the weights that move.",
        "在这段文本上学习一步：每个 token 的损失，以及哪些权重在动。",
    ),
    "learning": ViewKind(
        "What the model predicted while it was trained, next to what the world contains.",
        "模型在训练过程中预测了什么，与真实情况对照。",
        frozenset({"world"}),
        reads_text=False,
    ),
    "compare": ViewKind(
        "The answers of several models, or to several prompts, side by side.",
        "几个模型的回答，或对几个提示的回答，并排比较。",
        frozenset({"texts", "models", "seed", "sampling"}),
    ),
}
