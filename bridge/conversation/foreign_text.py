"""Finds the texts and tools in codex's request to its backend that are not from this server.

Only the parts that the model reads are searched: the instructions, the input and the tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

READ_BY_THE_MODEL = ("instructions", "input", "tools")

TOOL_TYPES = ("function", "custom", "namespace", "web_search", "local_shell", "image_generation", "tool_search")
"""The types of a tool's declaration; the last four need no name."""


def foreign_text(body: Mapping[str, Any], ours: Any, names: frozenset[str]) -> list[str]:
    """Return each text, and each tool as `the tool NAME`, in a request body that is not in `ours`.

    A text is a string with white space in it; `ours` is any JSON value that contains our own texts. `names` are the
    names of our tools and of the upstream's namespace for them.
    """
    known = set(_strings(ours))
    read = [body.get(key) for key in READ_BY_THE_MODEL]
    texts = [text for text in _strings(read) if text not in known and any(map(str.isspace, text))]
    tools = [f"the tool {name}" for name in _tools(read) if name not in names]
    return list(dict.fromkeys((*texts, *tools)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in cast("Mapping[str, Any]", value).values():
            yield from _strings(one)
    elif isinstance(value, (list, tuple)):
        for one in cast("list[Any]", value):
            yield from _strings(one)


def _tools(value: Any) -> Iterator[str]:
    """Yield the names of all declared tools; a tool without a name has its type as its name."""
    if isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _tools(one)
    elif isinstance(value, Mapping):
        tool = cast("Mapping[str, Any]", value)
        kind = tool.get("type")
        if kind in TOOL_TYPES:
            yield str(tool.get("name", kind))
        if kind in {"namespace", "additional_tools"}:
            yield from _tools(tool.get("tools"))
