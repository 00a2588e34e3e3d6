"""The subcommands of `liuli`, each imported when it is used: `liuli tokenize` does not wait for what `liuli train` needs."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer

from liuli.cli.help_text import with_examples

EXAMPLES: dict[str, tuple[str, ...]] = {  # at the end of each command's help; a group's commands have their own
    "begin": ("liuli begin", "liuli begin --out second --seed 1 --tokens 2e6"),
    "tokenize": (
        'liuli tokenize liuli-begin/run "Ming went to the fair" --steps',
        "liuli tokenize liuli-begin/assistant --chat liuli-begin/dialogues.jsonl",
    ),
    "complete": (
        "liuli complete liuli-begin/run 小明今天去游乐园玩 --steps",
        'liuli complete openai-community/gpt2 "Once upon a time" --max-tokens 50 --seed 7',
    ),
    "extract": (
        "liuli extract liuli-begin/assistant \"小明住在哪儿？\" --schema 'name, place'",
        "liuli extract Qwen/Qwen2.5-0.5B-Instruct - --schema person.schema.json --temperature 0",
    ),
    "chat": (
        "liuli chat liuli-begin/assistant",
        'liuli chat Qwen/Qwen2.5-0.5B-Instruct --system "Answer in one sentence." --temperature 0',
    ),
    "plan": ("liuli plan gpt3-175b", "liuli plan small --tokens 1e9 --gpu rtx4090"),
    "train": ("liuli train liuli-begin/world/documents.jsonl --out my-run --minutes 10", "liuli train --out my-run --resume"),
    "finetune": (
        "liuli finetune my-run liuli-begin/dialogues.jsonl --out my-assistant --minutes 5",
        "liuli finetune Qwen/Qwen2.5-0.5B my-dialogues.jsonl --out my-adapter --lora 8",
    ),
    "compare": (
        "liuli compare liuli-begin/run liuli-begin/assistant --prompt 小明住在哪儿？",
        "liuli compare liuli-begin/assistant --file my-questions.txt",
    ),
    "evaluate": (
        "liuli evaluate liuli-begin/run liuli-begin/world",
        "liuli evaluate liuli-begin/assistant liuli-begin/dialogues.jsonl --exact",
        "liuli evaluate openai-community/gpt2 my-text.txt",
    ),
    "agent": (
        'liuli agent Qwen/Qwen2.5-0.5B-Instruct "What is 17.5% of 2640?" --tools calculator --steps',
        'liuli agent Qwen/Qwen2.5-0.5B-Instruct "Which day of the week is 1 October 2027?" --tools clock',
    ),
    "look": (
        "liuli look",
        "liuli look liuli-begin/run 小明今天去游乐园玩 --view lens",
        "liuli look liuli-begin/run 今天小明 --with-text 昨天小明 --word 小明 --view context",
        "liuli look liuli-begin/run --view learning --world liuli-begin/world",
        "liuli look openai-community/gpt2 Hello --view attention --layer 5 --head 1",
    ),
    "join": (
        'liuli join Qwen/Qwen2.5-0.5B-Instruct "Show customers with their orders." customers.csv orders.csv --out joined.csv',
        "liuli join Qwen/Qwen2.5-0.5B-Instruct 各公司的净利润和现金流入分别是多少 净利润.json 现金流.json --explain",
    ),
    "merge": ("liuli merge Qwen/Qwen2.5-0.5B my-adapter --out my-model",),
    "convert": (
        "liuli convert my-assistant --gguf my-assistant.gguf --type q8_0",
        "liuli convert model.gguf --out my-model --dtype bf16",
    ),
    "runs": ("liuli runs", "liuli runs liuli-begin/run"),
    "data": (),
    "tokenizer": (),
    "world": (),
}


class Commands(Mapping[str, Any]):
    """All subcommands by name, in the order of the help, as Typer's commands and groups."""

    def __getitem__(self, name: str) -> Any:
        if name not in EXAMPLES:
            raise KeyError(name)
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(EXAMPLES)

    def __len__(self) -> int:
        return len(EXAMPLES)


def _command(name: str) -> Any:
    """A command is made anew each time: Typer keeps in it the names of the help option of the first context that asks."""
    found = getattr(import_module("liuli.cli.look.command" if name == "look" else f"liuli.cli.{name}"), name)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name, **with_examples(*EXAMPLES[name]))(found)
    return typer.main.get_command(alone)
