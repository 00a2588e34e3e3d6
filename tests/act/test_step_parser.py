"""Steps in free text, read tolerantly; and the endpoint that writes them."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from helpers.agents import order, weather

from liuli.act.agent_run import Call
from liuli.act.endpoint import Endpoint
from liuli.act.free_writer import LAST, EndpointReplier, FreeWriter
from liuli.act.react import Agent
from liuli.act.step_parser import MISSING, parse_step
from liuli.act.tools import Tools
from liuli.errors import LiuliError

ROME = Call("weather", {"city": "Rome"})
CALLS = {
    "as asked": 'Thought: look\nAction: weather\nAction Input: {"city": "Rome"}',
    "with a number": 'Thought 1: look\nAction 1: weather\nAction Input 1: {"city": "Rome"}',
    "bold": '**Thought:** look\n**Action:** weather\n**Action Input:** {"city": "Rome"}',
    "fenced": 'Thought: look\nAction: `weather`\nAction Input: ```json\n{"city": "Rome"}\n```',
    "text after the arguments": 'Thought: look\nAction: weather\nAction Input: {"city": "Rome"}\nThat is all.',
    "an invented answer": 'Thought: look\nAction: weather\nAction Input: {"city": "Rome"}\nFinal Answer: sun',
    "a Chinese colon": 'Thought：look\nAction：weather\nAction Input：{"city": "Rome"}',
    "on several lines": 'Thought: look\nAction: weather\nAction Input: {\n  "city":\n  "Rome"\n}',
}


@pytest.fixture(scope="module")
def tools():
    with Tools([weather, order]) as found:
        yield found


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS)
def test_a_call_is_read(text, tools):
    found = parse_step(text, tools)
    assert (found.thought, found.call, found.answer, found.problem) == ("look", ROME, None, "")


def test_a_plain_value_of_a_tool_with_one_parameter(tools):
    from liuli import tool

    @tool
    def say(text: str) -> str:
        """Say."""
        return text

    with Tools([say]) as one:
        assert parse_step('Action: say\nAction Input: "hello"', one).call == Call("say", {"text": "hello"})
        assert parse_step("Action: say\nAction Input: 12 * 3\n", one).call == Call("say", {"text": "12 * 3"})


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Thought: I know\nFinal Answer: 42", "42"),
        ("**Final Answer:** 42\nand more", "42\nand more"),
        ("Final Answer: 42\nAction: weather\nAction Input: {}", "42\nAction: weather\nAction Input: {}"),
    ],
)
def test_an_answer_is_read(text, answer, tools):
    assert parse_step(text, tools).answer == answer


@pytest.mark.parametrize("text", ["", "42", "I would call the weather tool.", "Thought: hm\nActions: none"])
def test_a_text_without_an_action_is_a_problem_and_no_answer(text, tools):
    found = parse_step(text, tools)
    assert (found.call, found.answer, found.problem) == (None, None, MISSING)


def test_arguments_that_are_not_json_are_said_to_the_model(tools):
    call = parse_step("Action: weather\nAction Input: {city: Rome}", tools).call
    assert call is not None
    found = tools.call(call.tool, call.arguments)
    assert (found.ok, found.failure) == (False, "arguments")


# Endpoints


class Server:
    """An endpoint that answers with prepared texts. `asked`: the bodies. `keys`: the headers."""

    def __init__(self, *replies: str | int | bytes):
        self.asked, self.keys, left = [], [], list(replies)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                server.keys.append(self.headers.get("Authorization"))
                reply = left.pop(0)
                body = (
                    reply if isinstance(reply, bytes) else json.dumps({"choices": [{"message": {"content": reply}}]}).encode()
                )
                self.send_response(reply if isinstance(reply, int) else 200)
                if reply == 302:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def test_an_endpoint_answers_with_tools(tools, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with Server(CALLS["as asked"], "Final Answer: sun") as server:
        run = Agent(FreeWriter(EndpointReplier(Endpoint(server.url, "some")), tools, seed=3), tools).run("Weather in Rome?")
    assert (run.answer, run.outcome, run.grammar) == ("sun", "answered", False)
    assert run.model == {"endpoint": server.url, "name": "some"}
    first, second = server.asked
    assert (first["model"], first["stop"], first["seed"], second["seed"]) == ("some", ["\nObservation"], 3, 4)
    assert first["messages"][0]["content"].endswith("Question: Weather in Rome?")
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][-1]["content"] == "Observation: Rome: sun for 1 days"
    assert server.keys == ["Bearer secret"] * 2


def test_what_cannot_be_read_is_said_and_the_last_step_is_the_answer_as_it_stands(tools):
    with Server("Rome is sunny.", "It is sunny.") as server:
        run = Agent(FreeWriter(EndpointReplier(Endpoint(server.url, "some")), tools), tools, 2).run("Weather in Rome?")
    assert run.steps[0].read == MISSING
    assert run.steps[0].observation is not None
    assert run.steps[0].observation.failure == "form"
    assert server.asked[1]["messages"][-1]["content"].endswith(LAST)
    assert run.answer == "It is sunny."


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (500, r"refused the request with status 500"),
        (302, r"refused the request with status 302"),
        (b"nonsense", "returned what is not JSON: nonsense"),
        (b'{"choices": []}', "returned no text"),
        (b'{"choices": [{"message": {"content": null}}]}', "returned no text"),
    ],
)
def test_an_endpoint_that_fails(reply, message):
    with Server(reply) as server, pytest.raises(LiuliError, match=message):
        Endpoint(server.url, "some").reply([{"role": "user", "content": "a"}], 10)


def test_an_endpoint_that_is_not_there():
    with Server() as server:
        pass
    with pytest.raises(LiuliError, match="cannot be reached: connection refused"):
        Endpoint(server.url, "some").reply([{"role": "user", "content": "a"}], 10)


@pytest.mark.parametrize("url", ["localhost:80", "file:///etc/passwd", "ftp://a", "http://"])
def test_a_url_that_is_no_endpoint(url):
    with pytest.raises(LiuliError, match="must be a URL that begins with http"):
        Endpoint(url, "some")
