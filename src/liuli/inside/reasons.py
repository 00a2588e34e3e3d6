"""Why a view could not be made, in Chinese: the messages of the errors in this package, for the page with all views.

A message is given by its template, in which {names} stand for values; the same names are in the Chinese text.
"""

import re

REASONS: dict[str, str] = {
    "{path} contains no tokenizer, so it cannot read a text: add its tokenizer files": (
        "{path} 里没有分词器，读不了文本：请补上分词器文件"
    ),
    "the text has no tokens: give a text of at least one character": "文本里没有 token：请给出至少一个字符的文本",
    "{number} tokens do not fit the context of {context} tokens of {path}: give a shorter text": (
        "{number} 个 token 超出 {path} 的上下文长度（{context} 个 token）：请给出更短的文本"
    ),
    "{word} does not occur in {text}: give a part of the text": "{text} 里没有 {word}：请给出文本中的一部分",
    "the tokenizer leaves {word} out of {text}: give a word that has tokens": (
        "分词器在 {text} 里略去了 {word}：请换一个有 token 的词"
    ),
    "the view {view} reads at most {most} tokens, and the text has {number}: give a shorter text": (
        "视图 {view} 最多读 {most} 个 token，而文本有 {number} 个：请给出更短的文本"
    ),
    "this view reads at most {most} tokens, and the text has {number}: give a shorter text": (
        "这个视图最多读 {most} 个 token，而文本有 {number} 个：请给出更短的文本"
    ),
    "this view shows at most {most} different tokens, and the text has {number}: give a shorter text": (
        "这个视图最多显示 {most} 个不同的 token，而文本有 {number} 个：请给出更短的文本"
    ),
    "this view compares with plain sentences in English and Chinese, for whose words the tokenizer of {path} has no tokens: "
    "use a model that reads one of these languages": (
        "这个视图要与普通的中英文句子比较，而 {path} 的分词器没有这些词的 token：请使用能读其中一种语言的模型"
    ),
    "the model computes numbers that are NaN or infinite: check its weights, or use --dtype fp32": (
        "模型算出了 NaN 或无穷大：请检查权重，或使用 --dtype fp32"
    ),
    "there is no layer {layer}: the model has {layers}, 0 to {last}": "没有第 {layer} 层：模型有 {layers} 层，编号 0 到 {last}",
    "a word to follow has no tokens: give a word of at least one character": "要跟踪的词没有 token：请给出至少一个字符的词",
    "a word has no tokens: give a word of at least one character": "词没有 token：请给出至少一个字符的词",
    "{target} and {other} begin with the same token: give two words with different first tokens": (
        "{target} 和 {other} 的第一个 token 相同：请给出第一个 token 不同的两个词"
    ),
    "this view compares sentences: give at least one more, with {option}": "这个视图比较几个句子：请用 {option} 至少再给一句",
    "the sentences have no word in common: give sentences that contain the same word, and --word WORD": (
        "这些句子没有共同的词：请给出含有同一个词的句子，并用 --word WORD 指明这个词"
    ),
    "token {index}: {error}": "第 {index} 个 token：{error}",
    "the text has one token, and the first token always keeps its vector: give a longer text": (
        "文本只有一个 token，而第一个 token 始终保留自己的向量：请给出更长的文本"
    ),
    "after its first token, the text has nothing but commas, the neutral token: give another text": (
        "第一个 token 之后只有逗号，而逗号就是中性 token：请换一段文本"
    ),
    "the weights are in {dtype}, which rounds away what one token changes: use --dtype fp32": (
        "权重是 {dtype}，舍入误差会淹没单个 token 带来的变化：请使用 --dtype fp32"
    ),
    "patching needs one other text with the same number of tokens: give it with {option}": (
        "替换视图需要另一段 token 数相同的文本：请用 {option} 给出"
    ),
    "{one} has {number} tokens and {other} has {other_number}: this view needs two texts with the same number of tokens, "
    "which differ in a word": (
        "{one} 有 {number} 个 token，{other} 有 {other_number} 个：这个视图需要 token 数相同、只差一个词的两段文本"
    ),
    "{one} and {other} have the same tokens: give two texts that differ in a word": (
        "{one} 和 {other} 的 token 完全相同：请给出只差一个词的两段文本"
    ),
    "the model predicts {token} after both texts: give texts that it continues with different words": (
        "两段文本之后，模型预测的都是 {token}：请给出会接不同的词的文本"
    ),
    "the token {token} would be compared with itself: give a word that begins with another token": (
        "{token} 会与自己比较：请给出第一个 token 不同的词"
    ),
    "the logits of {one} and {other} differ by {difference} after both texts, so there is no difference to restore: give "
    "another word, or texts after which the model predicts different words": (
        "两段文本之后，{one} 与 {other} 的 logit 之差都是 {difference}，没有可恢复的差别：请换一个词，或给出模型预测不同的文本"
    ),
    "move must be a number above 0, not {move}": "move 必须是大于 0 的数，不能是 {move}",
    "the text has one token, and the loss needs a next one: give a longer text": (
        "文本只有一个 token，而损失要看下一个 token：请给出更长的文本"
    ),
    "the weights are in {dtype}, and a step needs fp32: use --dtype fp32": (
        "权重是 {dtype}，而走一步需要 fp32：请使用 --dtype fp32"
    ),
    "{path} contains no tokenizer, so its prompts cannot be shown: add its tokenizer files": (
        "{path} 里没有分词器，无法显示提示：请补上分词器文件"
    ),
    "{path} is not in the folder of a run, so there is no record of its training: give a run's folder": (
        "{path} 不在训练的文件夹里，没有训练记录：请给出一次训练的文件夹"
    ),
    "{trace} is damaged, or was written by another version of Liuli: train again": (
        "{trace} 已损坏，或由别的版本的 Liuli 写成：请重新训练"
    ),
    "{run} tracked no prompt: train with --probe TEXT": "{run} 没有跟踪任何提示：训练时请加上 --probe TEXT",
}


def in_chinese(reason: str) -> str:
    """The Chinese text of the message of an error; a message that has none stays as it is."""
    for template, text in REASONS.items():
        found = re.fullmatch(_pattern(template), reason, re.DOTALL)
        if found:
            return text.format(**found.groupdict())
    return reason


def _pattern(template: str) -> str:
    parts = re.split(r"\{(\w+)\}", template)  # every second one is a name
    return "".join(f"(?P<{part}>.+?)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
