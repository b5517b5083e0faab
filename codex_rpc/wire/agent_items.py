"""The items of a turn in which codex works as an agent: what it says and what it does.

An item is reported when it starts and when it is completed, with what is known at that moment.
Source: `codex app-server generate-json-schema --experimental`, `ThreadItem`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import convert, field

from codex_rpc.shape import Shape

DECLINED = "declined"
FAILED = "failed"
"""Two values of `status`; the others are `inProgress` and `completed`."""


class AgentMessage(Shape, frozen=True):
    """A message of codex; `phase` is `commentary`, `partial_answer`, `final_answer` or unknown."""

    id: str
    text: str = ""
    phase: str | None = None


class AgentReasoning(Shape, frozen=True):
    """What the model thought, as parts of a summary."""

    id: str
    summary: tuple[str, ...] = ()


class CommandAction(Shape, frozen=True):
    """What a part of a command does, as far as codex understands it."""

    command: str = ""


class CommandExecution(Shape, frozen=True):
    """A command; `command` is the whole command line, with the shell that runs it."""

    id: str
    command: str
    cwd: str
    status: str
    actions: tuple[CommandAction, ...] = field(default=(), name="commandActions")
    output: str | None = field(default=None, name="aggregatedOutput")
    exit_code: int | None = None


class ChangeKind(Shape, frozen=True):
    """How a file is changed: `add`, `delete` or `update`."""

    type: str
    move_path: str | None = field(default=None, name="move_path")
    """The file's new path, if it moves."""


class Change(Shape, frozen=True):
    """The change of one file; for `add` and `delete`, `diff` is the content of the file."""

    path: str
    kind: ChangeKind
    diff: str


class FileChange(Shape, frozen=True):
    """A patch."""

    id: str
    status: str
    changes: tuple[Change, ...]


class McpResult(Shape, frozen=True):
    """What an MCP tool returned."""

    content: tuple[Mapping[str, Any], ...]
    structured: Any = field(default=None, name="structuredContent")


class McpError(Shape, frozen=True):
    """Why a call of an MCP tool failed."""

    message: str


class McpToolCall(Shape, frozen=True):
    """A call of a tool of one of the user's MCP servers."""

    id: str
    server: str
    tool: str
    status: str
    arguments: Any = None
    result: McpResult | None = None
    error: McpError | None = None


class SearchAction(Shape, frozen=True):
    """What a web search does: `search`, `openPage`, `findInPage` or `other`."""

    type: str
    query: str | None = None
    queries: tuple[str, ...] | None = None
    url: str | None = None
    pattern: str | None = None


class WebSearch(Shape, frozen=True):
    """A web search of the model."""

    id: str
    query: str = ""
    action: SearchAction | None = None


class ImageView(Shape, frozen=True):
    """Codex shows the model an image file."""

    id: str
    path: str


class ImageGeneration(Shape, frozen=True):
    """The model made an image, which codex saves."""

    id: str
    status: str
    revised_prompt: str | None = None
    saved_path: str | None = None


class Sleep(Shape, frozen=True):
    """The model waits."""

    id: str
    milliseconds: int = field(name="durationMs")


class ContextCompaction(Shape, frozen=True):
    """Codex replaces the older part of the thread's history with a summary."""

    id: str


class SubAgentActivity(Shape, frozen=True):
    """Something happened to a sub-agent: it was `started`, `interacted` with, `interrupted` or has `completed`."""

    id: str
    kind: str
    agent_path: str
    agent_thread_id: str


class _Item(Shape, frozen=True):
    type: str


AgentItem: TypeAlias = (
    AgentMessage
    | AgentReasoning
    | CommandExecution
    | FileChange
    | McpToolCall
    | WebSearch
    | ImageView
    | ImageGeneration
    | Sleep
    | ContextCompaction
    | SubAgentActivity
)

_ITEMS: Mapping[str, type[AgentItem]] = {
    "agentMessage": AgentMessage,
    "reasoning": AgentReasoning,
    "commandExecution": CommandExecution,
    "fileChange": FileChange,
    "mcpToolCall": McpToolCall,
    "webSearch": WebSearch,
    "imageView": ImageView,
    "imageGeneration": ImageGeneration,
    "sleep": Sleep,
    "contextCompaction": ContextCompaction,
    "subAgentActivity": SubAgentActivity,
}
"""A `dynamicToolCall` is missing on purpose: codex's request for the call says the same."""


def read_item(item: Mapping[str, Any]) -> AgentItem | None:
    """Read an item of a thread; one that we do not use becomes None.

    Raises:
        ValidationError: the item does not fit the schema.
    """
    shape = _ITEMS.get(convert(item, _Item).type)
    return None if shape is None else convert(item, shape)
