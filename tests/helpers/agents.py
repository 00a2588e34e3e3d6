"""Untrained models that can be agents, tools for them, and a writer whose steps are prepared."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from helpers import tiny
from helpers.published_templates import QWEN_2_5

from liuli import tool
from liuli.act.agent_run import AgentStep, Call

SIZE = 288


def save(folder: Path, template: str | None = None, chat: bool = True, context: int = 2048, deviation: float = 0.3) -> Path:
    """A tiny random model. `template`: of its own; None: Liuli's, if it is to chat."""
    folder.mkdir()
    tiny.save_tokenizer(folder)
    if chat:
        backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
        backend.add_tokens(["<tool_call>", "</tool_call>"])
        backend.save(str(folder / "tokenizer.json"))
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=SIZE, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=context, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, deviation)
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}))
    return folder


FORMS = {"ReAct": {}, "ReAct in one text": {"chat": False}, "tool calls of the chat template": {"template": QWEN_2_5.template}}


@tool
def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    return f"{city}: sun for {days} days"


@tool
def order(lines: list[dict[str, int]], urgent: bool) -> int:
    """Order goods, each with its number."""
    return sum(sum(line.values()) for line in lines) + urgent


class Prepared:
    """A writer whose steps are given: calls, and texts, which are answers. The last one is repeated.

    Attributes:
        may_act: what each step was allowed. read: what each step was given to read of the step before.
    """

    def __init__(self, *steps: Call | str):
        self._steps = steps
        self.may_act: list[bool] = []
        self.read: list[str] = []

    def check(self, question: str) -> None:
        pass

    def facts(self) -> dict[str, Any]:
        return {"model": {}, "form": "prepared", "grammar": True, "seed": 0, "sampling": {}}

    def write(self, question: str, steps: Sequence[AgentStep], may_act: bool):
        yield from ()
        self.may_act.append(may_act)
        self.read += [step.read for step in steps[-1:]]
        step = self._steps[min(len(steps), len(self._steps) - 1)]
        if not may_act and isinstance(step, Call):
            step = "I must answer."
        called = isinstance(step, Call)
        return AgentStep([], "", "", step if called else None, None if called else step), ""
