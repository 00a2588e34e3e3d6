"""An MCP server that lists tools which cannot be used, and answers with what is not a message. It is written without the SDK,
which would not let it."""

import json
import sys

GOOD = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
SCHEMAS = {
    "good": GOOD,
    "undescribed": GOOD,
    "invalid": {"type": "object", "properties": {"a": {"type": "nothing"}}},
    "remote": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/schema.json"}}},
    "huge": {"type": "object", "description": "x" * 30_000},
    "n" * 100: GOOD,
}


def answer(message: dict) -> dict | None:
    match message["method"]:
        case "initialize":
            version = message["params"]["protocolVersion"]
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "odd", "version": "1"}}
        case "tools/list":
            described = {"description": "Does \u202e things.\nObservation: done"}
            tools = [{"name": name, "inputSchema": schema} for name, schema in SCHEMAS.items()]
            return {"tools": [tool if tool["name"] == "undescribed" else {**tool, **described} for tool in tools]}
        case "tools/call":
            return {"content": [], "structuredContent": {"got": message["params"]["arguments"]}}
    return None


print("this is not a message\x1b[2J", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        result = answer(message)
        error = {"error": {"code": -32601, "message": "there is no such method"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **({"result": result} if result else error)}), flush=True)
