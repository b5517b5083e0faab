"""The model's input as a JSON value that is the same for a prompt and for the thread that carries it.

Items that a client never receives (reasoning, calls that codex answered itself) are left out, adjacent parts of an
answer are joined, and arguments are compared as JSON. Thus a conversation that ran on one thread equals the same
conversation sent in one request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, TypeAlias, cast

import orjson
from msgspec import Struct

from bridge.conversation.prompt import Item, Prompt, message
from bridge.conversation.tools import without_namespace
from codex_rpc.recording.steps import ModelView

ComparableView: TypeAlias = dict[str, Any]
"""The model view of a prompt or a thread, in a form that can be compared."""

SETTINGS = ("model", "effort", "tier", "summary", "verbosity")
"""The members that say how the model is run; the others are its input."""

PERMISSIONS = "permissions"
"""The parameter that only threads of agents have."""

AGENTS_MODEL = ""
"""The model in the prompt of an agent: the agent has its own."""

MISSING = "(nothing)"
MOST_SHOWN = 120
"""Characters of a value that are shown in a difference."""


def of_prompt(prompt: Prompt, *, is_agent: bool = False) -> ComparableView:
    """Return the model view of a prompt on a new thread of a model or of an agent."""
    notes = (message("developer", note) for note in prompt.notes)
    return _comparable(
        is_agent=is_agent,
        model=prompt.model,
        effort=prompt.effort,
        tier=prompt.tier,
        summary=prompt.summary,
        verbosity=prompt.verbosity,
        web_search=prompt.toolbox.web_search,
        tools=prompt.toolbox.specs(),
        schema=prompt.schema,
        items=(*notes, *prompt.items),
    )


def of_view(view: ModelView) -> ComparableView:
    """Return the model view of a thread from the parameters of `thread/start` and `turn/start` and from its items.

    Raises:
        KeyError, TypeError: the parameters were not made by this program.
    """
    if PERMISSIONS in view.start:
        return _of_agent(view)
    config = view.start["config"]
    return _comparable(
        is_agent=False,
        model=view.start["model"],
        effort=config.get("model_reasoning_effort"),
        tier=view.start.get("serviceTier"),
        summary=config.get("model_reasoning_summary"),
        verbosity=config.get("model_verbosity"),
        web_search=_web_search(config),
        tools=view.start["dynamicTools"],
        schema=view.turn.get("outputSchema"),
        items=view.items,
    )


def _of_agent(view: ModelView) -> ComparableView:
    """Return the model view of a thread of an agent, whose settings come with each turn."""
    return _comparable(
        is_agent=True,
        model=AGENTS_MODEL,
        effort=view.turn.get("effort"),
        tier=view.turn.get("serviceTier"),
        summary=view.turn.get("summary"),
        verbosity=None,
        web_search=None,
        tools=view.start.get("dynamicTools", ()),
        schema=view.turn.get("outputSchema"),
        items=view.items,
    )


def key(view: ComparableView, *, settings: bool = True) -> bytes:
    """Return a hash of the view; without `settings`, it does not depend on how the model is run."""
    counted = {name: value for name, value in view.items() if settings or name not in SETTINGS}
    return blake2b(orjson.dumps(counted, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _comparable(*, tools: Any, items: Iterable[Item], **more: Any) -> ComparableView:
    declared = set(_declared(tools))
    return {"items": list(_joined(items, declared)), "tools": list(tools), **more}


def _declared(tools: Iterable[Mapping[str, Any]], namespace: str | None = None) -> Iterator[tuple[str | None, str]]:
    for tool in tools:
        if tool["type"] == "namespace":
            yield from _declared(tool["tools"], tool["name"])
        else:
            yield namespace, tool["name"]


def _web_search(config: Mapping[str, Any]) -> Any:
    """Return the settings of codex's web search, as `thread_start_params` writes them; None if it is off."""
    if config["web_search"] == "disabled":
        return None
    return {"mode": config["web_search"], **config["tools"]["web_search"]}


def _joined(items: Iterable[Item], declared: set[tuple[str | None, str]]) -> Iterable[dict[str, Any]]:
    """Return one element for each message, each answer of the model, and each run of outputs."""
    joined: list[dict[str, Any]] = []
    hidden: set[str] = set()

    def last(name: str, empty: dict[str, Any]) -> dict[str, Any]:
        if not joined or name not in joined[-1]:
            joined.append(empty)
        return joined[-1]

    for item in items:
        match item:
            case {"type": "reasoning"}:
                pass
            case {"type": "message", "role": "assistant", "content": parts}:
                if text := "".join(part.get("text", "") for part in parts):
                    last("answer", {"answer": "", "calls": []})["answer"] += text
            case {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}:
                if (without_namespace(item.get("namespace")), name) not in declared:
                    hidden.add(call_id)
                    continue
                call = {"id": call_id, "name": name, "arguments": _parsed(arguments)}
                last("answer", {"answer": "", "calls": []})["calls"].append(call)
            case {"type": "function_call_output", "call_id": call_id, "output": output}:
                if call_id not in hidden:
                    last("outputs", {"outputs": {}})["outputs"][call_id] = _parts(output)
            case {"type": "message", "role": role, "content": parts}:
                joined.append({"role": role, "content": list(parts)})
            case _:
                joined.append({name: value for name, value in item.items() if name not in {"id", "status"}})
    for one in joined:
        if "answer" in one:
            one["answer"] = one["answer"].rstrip()
    return joined


def _parsed(arguments: str) -> Any:
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments


def _parts(output: Any) -> list[Any]:
    return [{"type": "input_text", "text": output}] if isinstance(output, str) else list(output)


# ── Differences ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Difference(Struct, frozen=True):
    """The path of the first difference between two values, with the shortened values there."""

    path: str
    one: str
    other: str


def first_difference(one: object, other: object, path: str = "") -> Difference | None:
    """Return the first difference between two values, in order; None if they are equal."""
    match one, other:
        case dict(), dict():
            left, right = cast("dict[str, object]", one), cast("dict[str, object]", other)
            pairs = [(f"{path}.{name}".lstrip("."), left.get(name), right.get(name)) for name in {**left, **right}]
        case list(), list():
            ones, others = cast("list[object]", one), cast("list[object]", other)
            longest = range(max(len(ones), len(others)))
            pairs = [(f"{path}[{n}]", _at(ones, n), _at(others, n)) for n in longest]
        case _:
            return None if one == other else Difference(path, _shown(one, other), _shown(other, one))
    return next((found for where, a, b in pairs if (found := first_difference(a, b, where))), None)


def common_items(one: ComparableView, other: ComparableView) -> int:
    """Return the number of items with which both begin."""
    pairs = zip(one["items"], other["items"], strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(one["items"]), len(other["items"])))


def _at(values: list[object], position: int) -> object:
    return values[position] if position < len(values) else None


def _shown(value: object, compared: object) -> str:
    """Return the shortened JSON of a value; of two texts, start shortly before their first difference."""
    if value is None:
        return MISSING
    if isinstance(value, str) and isinstance(compared, str):
        same = next((n for n, (a, b) in enumerate(zip(value, compared, strict=False)) if a != b), 0)
        start = max(0, same - MOST_SHOWN // 4)
        value = ("…" if start else "") + value[start:]
    text = orjson.dumps(value).decode()
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
