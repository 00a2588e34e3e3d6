"""What a grammar costs when a real model writes JSON: the share of the time per token.

    python benchmarks/grammar.py MODEL [--tokens 128] [--turns 7]

MODEL is a folder or a .gguf file. The model first writes a document under a schema. Then as many tokens are generated again, in
alternating turns: under the grammar, and under a constraint that allows all tokens, so that both make the same passes of the
model. The difference of the medians is what the grammar costs: its masks, its search for a way to the end, and its state.
Forced tokens are generated one at a time in both, since a pass over several would hide the cost.
"""

import argparse
import cProfile
import pstats
import statistics
import time

import torch
from shared import alternate, machine

import liuli
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.engine import Engine
from liuli.generate.request import Request
from liuli.generate.sampling import Sampling

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "year": {"type": "integer", "minimum": 1800, "maximum": 2100},
        "kind": {"enum": ["novel", "essay", "poem", "play"]},
        "people": {
            "type": "array",
            "minItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"}, "age": {"type": "integer"},
                    "traits": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["name", "age", "traits"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["title", "year", "kind", "people"],
    "additionalProperties": False,
}  # fmt: skip


class Timed:
    """A grammar's constraint, without forced tokens, that adds up the time it takes."""

    def __init__(self, constraint):
        self._constraint = constraint
        self.seconds = 0.0

    def _timed(self, method, *given):
        start = time.perf_counter()
        found = method(*given)
        self.seconds += time.perf_counter() - start
        return found

    def mask(self, left):
        return self._timed(self._constraint.mask, left)

    def fits(self, token_id):
        return self._timed(self._constraint.fits, token_id)

    def accept(self, token_id):
        self._timed(self._constraint.accept, token_id)

    def forced(self):
        return []

    def done(self):
        return self._timed(self._constraint.done)


class Free:
    """Allows all tokens, and ends after as many as the grammar's document had."""

    def __init__(self, count: int, size: int):
        self._left = count
        self._allowed_V = torch.ones(size, dtype=torch.bool)

    def mask(self, left):
        return self._allowed_V

    def fits(self, token_id):
        return True

    def accept(self, token_id):
        self._left -= 1

    def forced(self):
        return []

    def done(self):
        return not self._left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--turns", type=int, default=7)
    given = parser.parse_args()
    print(machine())
    model = liuli.load(given.model)
    size = model.config.vocab_size
    prompt = model.tokenizer.encode("A famous book and its people, as JSON:\n", prompt=True)
    start = time.perf_counter()
    grammar = Grammar.of_schema(SCHEMA)
    print(f"checking the schema: {1e3 * (time.perf_counter() - start):.0f} ms")
    start = time.perf_counter()
    grammar.start(model.tokenizer, size, given.tokens, model.stop_ids, prompt)
    print(f"preparing it for {size:,} ids, once per model: {1e3 * (time.perf_counter() - start):.0f} ms")
    start = time.perf_counter()
    grammar.start(model.tokenizer, size, given.tokens, model.stop_ids, prompt)
    print(f"starting a further request: {1e3 * (time.perf_counter() - start):.2f} ms")

    def run(constraint) -> float:
        """Seconds per token."""
        engine = Engine(model.decoder, model.tokenizer, slots=1)
        engine.submit(Request(prompt, Sampling(0.0), given.tokens, stop_ids=model.stop_ids, constraint=constraint))
        begin, count = time.perf_counter(), 0
        while engine.busy:
            count += len(engine.step())
        run.count = count
        return (time.perf_counter() - begin) / count

    def constrained() -> Timed:
        return Timed(grammar.start(model.tokenizer, size, given.tokens, model.stop_ids, prompt))

    run(constrained())
    count, own = run.count, []

    def with_grammar() -> float:
        constraint = constrained()
        found = run(constraint)
        own.append(constraint.seconds / count)
        return found

    medians = alternate({"grammar": with_grammar, "free": lambda: run(Free(count, size))}, given.turns)
    grammar_ms, free_ms, own_ms = 1e3 * medians["grammar"], 1e3 * medians["free"], 1e3 * statistics.median(own[1:])
    print(f"{count} tokens; per token: {grammar_ms:.2f} ms with the grammar, {free_ms:.2f} ms without")
    print(f"difference: {100 * (grammar_ms - free_ms) / free_ms:+.1f} % of the decode time")
    print(f"inside the grammar: {own_ms:.3f} ms per token, {100 * own_ms / free_ms:.2f} % of the decode time")
    profile = cProfile.Profile()
    profile.runcall(run, constrained())
    pstats.Stats(profile).sort_stats("tottime").print_stats("liuli/generate", 12)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
