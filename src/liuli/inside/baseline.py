"""Plain sentences about unrelated things, in English and Chinese: what "usual" means for a model's inner states.

Pairs of their tokens say which similarity two unrelated words have; the mean of a part's output over them is what replaces the
part when it is ablated.

Legend of shape suffixes: R states (after the embedding, then after each block), M tokens of all sentences, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.generate.model import Model
from liuli.inside.tape import record, residual_points

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


@dataclass(frozen=True, slots=True)
class BaselineStates:
    """The states of the tokens of all sentences, without the first token of each, which is a special case in many models.

    Attributes:
        vectors_RMD: the residual stream, fp32.
        ids_M: the tokens. sentences_M: the number of the sentence of each.
    """

    vectors_RMD: Tensor
    ids_M: Tensor
    sentences_M: Tensor

    def pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """Pairs of unrelated tokens: with different ids, and from different sentences, because tokens of one sentence have read
        the same words. At most `count`, chosen at random with a fixed seed.

        Returns:
            The places of the first and of the second token of each pair.
        """
        one, other = torch.triu_indices(len(self.ids_M), len(self.ids_M), offset=1)
        differ = (self.ids_M[one] != self.ids_M[other]) & (self.sentences_M[one] != self.sentences_M[other])
        one, other = one[differ], other[differ]
        chosen = torch.randperm(len(one), generator=torch.Generator().manual_seed(0))[:count]
        return one[chosen], other[chosen]


def baseline_ids(model: Model) -> list[list[int]]:
    """The ids of each sentence as a prompt, at most as many as fit the context. A sentence with a token that stands for
    "unknown" is left out: such tokens are equal whatever they stand for.

    Raises:
        LiuliError: the tokenizer has no tokens for almost all of the sentences.
    """
    tokenizer = model.tokenizer
    assert tokenizer is not None
    encoded = [tokenizer.encode(sentence, prompt=True) for sentence in SENTENCES]
    known = [ids[: model.config.context] for ids in encoded if tokenizer.unknown is None or tokenizer.unknown not in ids]
    if len(known) < 2:
        raise LiuliError(
            f"this view compares with plain sentences in English and Chinese, for whose words the tokenizer of {model.path} "
            f"has no tokens: use a model that reads one of these languages"
        )
    return known


def baseline_states(model: Model) -> BaselineStates:
    """Returns the states of the tokens of all sentences.

    Raises:
        LiuliError: what `baseline_ids` raises; the model's numbers are not finite.
    """
    states, ids_M, sentences_M = [], [], []
    for number, ids in enumerate(baseline_ids(model)):
        tape = record(model.decoder, ids, *residual_points(model.decoder))[1]
        states.append(torch.stack([x_1TD[0, 1:].float() for x_1TD in tape.residuals()]))
        ids_M += ids[1:]
        sentences_M += [number] * (len(ids) - 1)
    return BaselineStates(torch.cat(states, 1), torch.tensor(ids_M), torch.tensor(sentences_M))
