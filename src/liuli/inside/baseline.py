"""Plain sentences about unrelated things, in English and Chinese: what "usual" means for a model's inner states.

Pairs of their tokens say which similarity two unrelated words have; the mean of a part's output over them is what replaces the
part when it is ablated.
"""

from liuli.generate.model import Model

SENTENCES = (
    "The river was frozen in the winter of that year.",
    "She bought three lemons and a loaf of bread.",
    "A function returns its last value to the caller.",
    "The meeting starts at nine on Monday morning.",
    "His grandfather repaired old wooden boats.",
    "The committee rejected the second proposal.",
    "昨天晚上下了一场很大的雨。",
    "图书馆星期一上午九点开门。",
    "他把自行车停在学校门口。",
    "这道题的答案写在最后一页。",
    "妈妈做的红烧鱼味道很好。",
    "科学家在山洞里发现了一块化石。",
)


def baseline_ids(model: Model) -> list[list[int]]:
    """The ids of each sentence as a prompt, at most as many as fit the context."""
    assert model.tokenizer is not None
    return [model.tokenizer.encode(sentence, prompt=True)[: model.config.context] for sentence in SENTENCES]
