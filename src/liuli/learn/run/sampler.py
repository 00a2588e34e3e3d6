"""What a model writes at each validation, for people: a continuation of one prompt, sampled with a seed."""

from dataclasses import dataclass

from liuli.generate.replies import answer
from liuli.generate.sampling import Sampling
from liuli.model.decoder import Decoder
from liuli.tokens import Tokenizer

SAMPLING = Sampling(temperature=0.8)
TOKENS = 40


@dataclass(frozen=True, slots=True)
class SamplePrompt:
    """`text`: for people; `ids`: as the model reads it; `stops`: ids that end a continuation."""

    text: str
    ids: tuple[int, ...]
    stops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sampler:
    """`seed`: of the run."""

    tokenizer: Tokenizer
    prompt: SamplePrompt
    seed: int

    def sample(self, decoder: Decoder, step: int) -> tuple[int, str]:
        """The seed and the text of a step: the same at every call. Raises LiuliError: a token cannot be chosen."""
        seed = self.seed + step
        room = min(TOKENS, decoder.config.context - len(self.prompt.ids))
        (reply,) = answer(decoder, self.tokenizer, [self.prompt.ids], self.prompt.stops, SAMPLING, room, seed)
        return seed, reply.text
