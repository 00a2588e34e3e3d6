"""`liuli agent`: a model answers a question with tools, and shows what it thought, called and saw."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liuli.cli.agent_view import AgentView
from liuli.cli.input import read_text
from liuli.cli.options import Adapter, Device, Dtype, Json, ModelName, Threads, check_compute, check_model
from liuli.cli.output import note, print_json
from liuli.cli.sampling import set_threads
from liuli.cli.work_progress import work_progress
from liuli.errors import LiuliError
from liuli.output_paths import check_new_file

if TYPE_CHECKING:
    from liuli.act.tools import Tools
    from liuli.act.writers import StepWriter

AskedQuestion = Annotated[
    str, typer.Argument(metavar="QUESTION", help="The question; - reads it from standard input.", show_default=False)
]
ToolNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TOOL",
        help="Let the model use this tool: calculator, clock, search:FOLDER, tables:PATH, or a Python file with your own "
        "functions, which is run. May be repeated. Without it, the model has no tools.",
    ),
]
McpFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Start the MCP servers in this JSON file (mcpServers), and let the model use their tools."
    ),
]
MaxSteps = Annotated[int, typer.Option(metavar="N", help="Take at most this many steps. The last one must answer.")]
StepTokens = Annotated[int, typer.Option(metavar="N", help="Generate at most this many tokens per step.")]
Approve = Annotated[bool, typer.Option("--approve", help="Ask before each call of a tool.")]
StepDetails = Annotated[
    bool, typer.Option("--steps", help="Show for each step how probable each action was, and what the grammar removed.")
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Use the model of this name at an OpenAI-compatible endpoint instead of opening one here. Its steps are free "
        "text, because no grammar can be forced there. The key is read from OPENAI_API_KEY.",
    ),
]
Temperature = Annotated[
    float, typer.Option(metavar="NUMBER", help="Divide the logits by this. 0 always takes the most likely token.")
]
FirstSeed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Set the random seed of the first step. Each later step uses the next number.",
        show_default="chosen at random and printed",
    ),
]
RecordFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write the record of the run to this new .json file.", show_default=False)
]


def agent(
    model: ModelName,
    question: AskedQuestion,
    tools: ToolNames = None,
    mcp: McpFile = None,
    max_steps: MaxSteps = 8,
    max_tokens: StepTokens = 384,
    approve: Approve = False,
    steps: StepDetails = False,
    endpoint: EndpointUrl = None,
    temperature: Temperature = 0.0,
    seed: FirstSeed = None,
    out: RecordFile = None,
    adapter: Adapter = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Answer a question with tools: the model thinks, calls a tool, reads what it returns, and continues until it answers."""
    if approve and not sys.stdin.isatty():
        raise LiuliError("--approve asks at a terminal, but standard input is not one: leave it out")
    if out is not None:
        check_new_file(out, ".json")
    if endpoint is None:
        check_model(model, adapter)
        check_compute(device, dtype, threads)
    text = read_text(question)
    with ExitStack() as open_tools:
        with work_progress("starting the tools"):
            from liuli.act.load import load_tools

            names = [each for each in tools or () if not each.endswith(".py")]
            files = [Path(each) for each in tools or () if each.endswith(".py")]
            found = open_tools.enter_context(load_tools(names, files, mcp))
        with work_progress(f"opening {model}"):
            if endpoint is None:
                writer = _writer_here(model, adapter, device, dtype, threads, found, max_tokens, seed, temperature)
            else:
                writer = _writer_at(endpoint, model, found, max_tokens, seed, temperature)
        _run(writer, found, text, max_steps, AgentView(explained=steps, silent=json), approve, out, json)


def _run(
    writer: "StepWriter",
    tools: "Tools",
    question: str,
    max_steps: int,
    view: AgentView,
    approve: bool,
    out: str | None,
    json: bool,
) -> None:
    """Shows a run, and writes its record, also of a run that was stopped."""
    from liuli.act.react import Agent
    from liuli.files import write_json

    run, events = Agent(writer, tools, max_steps, view.approve if approve else None).stream(question)
    try:
        view.show(run, events)
    finally:
        if out is not None and run.steps:
            write_json(Path(out), run.to_json())
    if json:
        print_json(run.to_json())
    elif run.seed is not None and run.sampling.get("temperature"):
        note(f"seed {run.seed}")


def _writer_here(
    model: str,
    adapter: Path | None,
    device: str,
    dtype: str,
    threads: int | None,
    tools: "Tools",
    max_tokens: int,
    seed: int | None,
    temperature: float,
) -> "StepWriter":
    from liuli.act.writers import GrammarWriter
    from liuli.generate.model import load

    opened = load(model, device=device, dtype=dtype, adapter=adapter)
    set_threads([opened], threads)
    return GrammarWriter(opened, tools, max_tokens=max_tokens, seed=seed, temperature=temperature)


def _writer_at(url: str, model: str, tools: "Tools", max_tokens: int, seed: int | None, temperature: float) -> "StepWriter":
    from liuli.act.endpoint import Endpoint
    from liuli.act.free_writer import EndpointReplier, FreeWriter

    return FreeWriter(EndpointReplier(Endpoint(url, model), temperature), tools, max_tokens, seed)
