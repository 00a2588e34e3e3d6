"""The same numbers from `transformers` alone: hidden states, attention weights and logits of small random models of every
family, and what becomes of them when a hook replaces something. They share nothing with `liuli` but the weights and the ids."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
import transformers
from helpers import families, tiny
from torch import Tensor, nn

from liuli import load
from liuli.generate.model import Model

TEXT = "the gold ring 金 and a cat"
VOCABULARY = 270  # of the tokenizer of `tiny`, and a few ids that it does not use
NAMES = ("gpt2", "llama2", "llama3", "qwen2", "qwen2-window", "qwen3", "gemma3", "gemma3-linear")


@dataclass(frozen=True)
class Oracle:
    """A model of `transformers` with eager attention, and the model that `liuli` opened from the same folder."""

    name: str
    hf: transformers.PreTrainedModel
    model: Model

    @classmethod
    def of_folder(cls, folder: Path) -> "Oracle":
        hf = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
        return cls(folder.name, hf.eval(), load(folder))

    def ids(self, text: str) -> list[int]:
        return self.model.tokenizer.encode(text, prompt=True)

    def outputs(self, ids: list[int]) -> SimpleNamespace:
        """logits (T, V), attentions (L, H, T, T), and residuals (R, T, D): the stream after the embedding and every block."""
        with torch.no_grad(), self.recording(self.blocks) as after:
            found = self.hf(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
        residuals = torch.stack([found.hidden_states[0][0], *(x[0] for x in after)])
        return SimpleNamespace(logits=found.logits[0], attentions=torch.cat(found.attentions), residuals=residuals)

    def logits(self, ids: list[int]) -> Tensor:
        """(T, V)."""
        with torch.no_grad():
            return self.hf(torch.tensor([ids])).logits[0]

    def lens(self, residuals: Tensor) -> Tensor:
        """The logits of states of the residual stream, (..., V)."""
        with torch.no_grad():
            return self.hf.get_output_embeddings()(self.norm(residuals))

    @property
    def is_gpt2(self) -> bool:
        return self.hf.config.model_type == "gpt2"

    @property
    def blocks(self) -> list[nn.Module]:
        return list(self.hf.transformer.h if self.is_gpt2 else self.hf.model.layers)

    @property
    def norm(self) -> nn.Module:
        return self.hf.transformer.ln_f if self.is_gpt2 else self.hf.model.norm

    def out_projections(self) -> list[nn.Module]:
        """The modules whose inputs are the outputs of the heads."""
        return [block.attn.c_proj if self.is_gpt2 else block.self_attn.o_proj for block in self.blocks]

    def attention_outputs(self) -> list[nn.Module]:
        """The modules whose outputs attention adds to the residual stream."""
        if self.is_gpt2:
            return [block.attn for block in self.blocks]
        if self.hf.config.model_type == "gemma3_text":
            return [block.post_attention_layernorm for block in self.blocks]
        return [block.self_attn for block in self.blocks]

    def feed_forward_outputs(self) -> list[nn.Module]:
        """The modules whose outputs the feed-forward network adds to the residual stream."""
        is_gemma = self.hf.config.model_type == "gemma3_text"
        return [block.post_feedforward_layernorm if is_gemma else block.mlp for block in self.blocks]

    @contextmanager
    def recording(self, modules: list[nn.Module], inputs: bool = False) -> Iterator[list[Tensor]]:
        """The outputs (or the first inputs) of modules, in the order in which they are computed."""
        found: list[Tensor] = []

        def see(module: nn.Module, given: tuple, out: object) -> None:
            found.append(given[0] if inputs else first(out))

        with ExitStack() as stack:
            for module in modules:
                stack.callback(module.register_forward_hook(see).remove)
            yield found

    @contextmanager
    def replacing(self, module: nn.Module, change: Callable[[Tensor], Tensor], inputs: bool = False) -> Iterator[None]:
        """Replaces the output (or the first input) of a module."""

        def before(module: nn.Module, given: tuple) -> tuple:
            return change(given[0]), *given[1:]

        def after(module: nn.Module, given: tuple, out: object) -> object:
            return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

        hook = module.register_forward_pre_hook(before) if inputs else module.register_forward_hook(after)
        try:
            yield
        finally:
            hook.remove()


def first(out: object) -> Tensor:
    return out[0] if isinstance(out, tuple) else out  # pyright: ignore[reportReturnType]


def save_family(name: str, folder: Path, **changes: object) -> Path:
    """A random model of a family with the tokenizer of `tiny`, and no end-of-text id but the tokenizer's."""
    folder.mkdir(parents=True, exist_ok=True)
    model = families.oracle(name, vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **changes)
    model.save_pretrained(folder)
    tiny.save_tokenizer(folder)
    return folder
