"""What an agent does, as Markdown, and as the cards of Open WebUI.

Commands may print anything: what comes from them can neither end its block nor hide what follows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any, cast

from bridge.conversation.events import StepBegun, StepDone

ANSWER_MARK = "\u2063"
"""Stands in the text before an answer that comes after a report of activity; it is invisible."""

ANSWER_END = "\u2064"
"""Stands in the text after an answer that a report of activity follows; it is invisible, too."""

SEPARATOR = f"\n\n---\n\n{ANSWER_MARK}"
"""Stands between the activity and the answer in the style `text`."""

SHOWN_LINES = 8
"""Lines of a command's output; the last ones say how it ended."""

LONGEST_LINE = 400
LONGEST_VALUE = 200
"""Characters of a line of output, and of the arguments and the result of a tool."""

FENCE_END = "\n```"

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""The control sequences of terminals, such as colours."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u2063\u2064]")
_FENCES = re.compile(r"`{3,}")
_EXIT = re.compile(r"\[exit -?\d+\]")


def final_answer(text: str) -> str:
    """Return the last answer in a message that a client sends back, without the activity that was shown around it."""
    return text.rpartition(ANSWER_MARK)[2].partition(ANSWER_END)[0]


def without_marks(text: str) -> str:
    """Return a text of the model in which nothing looks like the marks of an answer."""
    return text.replace(ANSWER_MARK, "").replace(ANSWER_END, "")


def command_block(step: StepBegun | StepDone) -> str:
    """Return the beginning of a command's block, which is open."""
    return "```console\n" + _in_block("$ " + _visible(step.arguments["command"]))


def command_rest(step: StepDone) -> str:
    """Return the rest of a command's block: the last lines of its output, how it ended, and the end of the block."""
    lines = _as_on_screen(step.output).rstrip("\n").split("\n") if step.output else []
    ending = [lines.pop()] if lines and _EXIT.fullmatch(lines[-1]) else []
    if step.error is not None:
        ending.append(f"[{step.error}]")
    elif not step.is_complete:
        ending.append("[still running]")
    left_out = ["…"] if len(lines) > SHOWN_LINES else []
    shown = [*left_out, *(_cut(line, LONGEST_LINE) for line in lines[-SHOWN_LINES:]), *ending]
    return "".join(f"\n{_in_block(line)}" for line in shown) + FENCE_END


def step_markdown(step: StepDone) -> str:
    """Return a step that is over, other than a command, as Markdown."""
    failed = f": {step.error}" if step.error else ""
    match step.server, step.name, step.arguments:
        case "codex", "apply_patch", {"changes": [*changes]}:
            return "\n".join(_change(cast("Mapping[str, Any]", change)) + failed for change in changes)
        case "codex", "update_plan", {"explanation": explanation, "plan": [*plan]}:
            return _plan(cast("str | None", explanation), cast("list[Mapping[str, str]]", plan))
        case server, name, arguments:
            tool = _code(name if server == "codex" else f"{server}.{name}")
            given = f" {_code(json.dumps(arguments, ensure_ascii=False))}" if arguments else ""
            result = f" → {_code(step.output)}" if step.output else ""
            return f"{tool}{given}{result}{failed}"


def search_markdown(item: Mapping[str, Any]) -> str:
    """Return a web search as a line."""
    match item.get("action"):
        case {"type": "open_page", "url": str(url)}:
            return f"Opened {_code(url)}"
        case {"type": "find_in_page", "url": str(url), "pattern": str(pattern)}:
            return f"Searched {_code(url)} for {_code(pattern)}"
        case {"queries": [*queries]} if queries:
            return "Searched the web for " + ", ".join(_code(str(query)) for query in cast("list[object]", queries))
        case {"query": str(query)}:
            return f"Searched the web for {_code(query)}"
        case _:
            return "Searched the web"


def step_card(step: StepDone) -> str:
    """Return a step that is over as a card of Open WebUI."""
    name = step.name if step.server == "codex" else f"{step.server}.{step.name}"
    ending = step.error or ("" if step.is_complete else "[still running]")
    result = "\n".join(filter(None, [_as_on_screen(step.output), ending]))
    return _card(step.step_id, name, json.dumps(step.arguments, ensure_ascii=False), result)


def search_card(item: Mapping[str, Any], card_id: str) -> str:
    """Return a web search as a card of Open WebUI."""
    return _card(card_id, "web_search", json.dumps(item.get("action"), ensure_ascii=False), "")


def _card(card_id: str, name: str, arguments: str, result: str) -> str:
    """Return a card; its arguments are a JSON text in a JSON text, as Open WebUI writes them itself."""
    values = {"id": card_id, "name": name, "arguments": json.dumps(arguments), "result": json.dumps(result)}
    fields = " ".join(f'{field}="{escape(without_marks(value))}"' for field, value in values.items())
    head = f'<details type="tool_calls" done="true" {fields} files="" embeds="">'
    return f"{head}\n<summary>Tool Executed</summary>\n</details>"


def _change(change: Mapping[str, Any]) -> str:
    moved = f" → {_code(change['move_path'])}" if "move_path" in change else ""
    return f"- {change['kind']} {_code(change['path'])}{moved} (+{change['added']} −{change['removed']})"  # noqa: RUF001


def _plan(explanation: str | None, plan: list[Mapping[str, str]]) -> str:
    reason = [f"{_one_line(explanation)}\n"] if explanation else []
    return "\n".join([*reason, *map(_plan_step, plan)])


def _plan_step(step: Mapping[str, str]) -> str:
    text = _one_line(step["step"])
    match step["status"]:
        case "completed":
            return f"- [x] {text}"
        case "inProgress":
            return f"- [ ] **{text}**"
        case _:
            return f"- [ ] {text}"


def _code(text: str) -> str:
    """Return a text as code in a line."""
    line = _one_line(text).replace("`", "'")
    return f"`{_cut(line, LONGEST_VALUE)}`"


def _one_line(text: str) -> str:
    return " ".join(_visible(text).split())


def _in_block(text: str) -> str:
    """Return a text that cannot end the block in which it stands."""
    return _FENCES.sub(lambda fence: "'" * len(fence[0]), text)


def _visible(text: str) -> str:
    """Return a text of which nothing is hidden, such as a command that someone reads."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n"))


def _as_on_screen(output: str) -> str:
    """Return an output as a terminal would show it, without colours and control characters."""
    lines = _ESCAPES.sub("", output).replace("\r\n", "\n").split("\n")
    return "\n".join([_CONTROLS.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in lines])


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
