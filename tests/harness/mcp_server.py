"""An MCP server over stdio with one tool, which changes something: it creates the file that the argument names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TOOL: dict[str, Any] = {
    "name": "create",
    "description": "Creates a file.",
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "annotations": {"readOnlyHint": False, "destructiveHint": True},
}


def config(name: str) -> str:
    """Return the lines of codex's configuration that start this server under a name."""
    return f"\n[mcp_servers.{name}]\ncommand = {json.dumps(sys.executable)}\nargs = {json.dumps([__file__])}\n"


def result(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a request."""
    match method:
        case "initialize":
            server = {"name": "files", "version": "1"}
            return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
        case "tools/list":
            return {"tools": [TOOL]}
        case "tools/call":
            Path(params["arguments"]["path"]).write_text("created")
            return {"content": [{"type": "text", "text": "It is there."}]}
        case _:
            return {}


if __name__ == "__main__":
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            given = result(message["method"], message.get("params") or {})
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": given}) + "\n")
            sys.stdout.flush()
