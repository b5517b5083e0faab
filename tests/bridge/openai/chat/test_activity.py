from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.conversation.events import StepDone
from bridge.openai.chat.activity import (
    ANSWER_END,
    ANSWER_MARK,
    SEPARATOR,
    command_block,
    command_rest,
    final_answer,
    search_card,
    search_markdown,
    step_card,
    step_markdown,
    without_marks,
)


def command(command: str = "ls", output: str = "", error: str | None = None, *, is_complete: bool = True) -> StepDone:
    return StepDone("a", "codex", "shell", {"command": command, "cwd": "."}, output, error, is_complete)


def block(step: StepDone) -> str:
    return command_block(step) + command_rest(step)


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (command(), "$ ls"),
        (command("ls\npwd", "a\n"), "$ ls\npwd\na"),
        (command(output="a\nb\n[exit 3]"), "$ ls\na\nb\n[exit 3]"),
        (command(output="[exit -1]"), "$ ls\n[exit -1]"),
        (command(error="It was declined."), "$ ls\n[It was declined.]"),
        (command(output="tick\n", is_complete=False), "$ ls\ntick\n[still running]"),
        (
            command(output="".join(f"{n}\n" for n in range(20)) + "[exit 1]"),
            "$ ls\n…\n12\n13\n14\n15\n16\n17\n18\n19\n[exit 1]",
        ),
        (command(output="\x1b[1;31mred\x1b[0m\x07 \x1b]0;title\x07x\x00"), "$ ls\nred x"),
        (command(output="one\r\ntwo\r\n"), "$ ls\none\ntwo"),
        (command(output=" 10%\r 50%\r100%\ndone"), "$ ls\n100%\ndone"),
        (
            command("echo '```'", "```\n# not a heading\n````\n`code`"),
            "$ echo '''''\n'''\n# not a heading\n''''\n`code`",
        ),
        (command("rm -rf x\rls \x1b[8m\x07"), "$ rm -rf x\ufffdls \ufffd[8m\ufffd"),
        (command(output="x" * 500), "$ ls\n" + "x" * 399 + "…"),
        (command(output=f"a{SEPARATOR}b"), "$ ls\na\n\n---\n\nb"),
    ],
    ids=repr,
)
def test_a_command_is_a_console_block_with_the_end_of_its_output(step: StepDone, shown: str):
    assert block(step) == f"```console\n{shown}\n```"


@given(st.text(), st.text(max_size=2000), st.none() | st.just("It was declined."))
@settings(deadline=None)
def test_whatever_a_command_prints_stays_in_its_block(line: str, output: str, error: str | None):
    shown = block(command(line, output, error))

    assert re.findall("`{3,}", shown) == ["```", "```"]
    assert shown.startswith("```console\n$ ")
    assert shown.endswith("\n```")
    assert without_marks(shown) == shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", shown)
    assert len(shown) < 10 * 401 + len(line) + 100


def change(path: str = "hello.txt", kind: str = "update", **more: Any) -> dict[str, Any]:
    return {"path": path, "kind": kind, "diff": "@@", "added": 1, "removed": 2, **more}


def step(name: str, arguments: Any, output: str = "", error: str | None = None, server: str = "codex") -> StepDone:
    return StepDone("a", server, name, arguments, output, error)


PLAN = [
    {"step": "Look", "status": "completed"},
    {"step": "Patch", "status": "inProgress"},
    {"step": "Test\nall", "status": "pending"},
]


@pytest.mark.parametrize(
    ("done", "shown"),
    [
        (
            step("apply_patch", {"changes": [change(), change("new.py", "add", removed=0)]}),
            "- update `hello.txt` (+1 −2)\n- add `new.py` (+1 −0)",  # noqa: RUF001
        ),
        (
            step("apply_patch", {"changes": [change(move_path="b/c")]}, error="It was declined."),
            "- update `hello.txt` → `b/c` (+1 −2): It was declined.",  # noqa: RUF001
        ),
        (
            step("update_plan", {"explanation": "Why\n", "plan": PLAN}, "[x] Look"),
            "Why\n\n- [x] Look\n- [ ] **Patch**\n- [ ] Test all",
        ),
        (step("update_plan", {"explanation": None, "plan": PLAN[:1]}), "- [x] Look"),
        (step("view_image", {"path": "dot.png"}), '`view_image` `{"path": "dot.png"}`'),
        (step("compact", {}), "`compact`"),
        (
            step("echo", {"text": "`hé`"}, "ECHO\n<b>`hé`</b>", server="usermcp"),
            "`usermcp.echo` `{\"text\": \"'hé'\"}` → `ECHO <b>'hé'</b>`",
        ),
        (step("danger", {}, error="needs approval", server="usermcp"), "`usermcp.danger`: needs approval"),
        (step("echo", "x" * 900, "y" * 900, server="s"), f'`s.echo` `"{"x" * 198}…` → `{"y" * 199}…`'),
    ],
    ids=repr,
)
def test_each_kind_of_step_has_its_markdown(done: StepDone, shown: str):
    assert step_markdown(done) == shown


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        ({"type": "search", "query": "q", "queries": ["q", "r`s"]}, "Searched the web for `q`, `r's`"),
        ({"type": "search", "query": "q", "queries": []}, "Searched the web for `q`"),
        ({"type": "open_page", "url": "https://a"}, "Opened `https://a`"),
        ({"type": "find_in_page", "url": "https://a", "pattern": "x"}, "Searched `https://a` for `x`"),
        (None, "Searched the web"),
    ],
)
def test_a_search_is_a_line(action: Any, shown: str):
    assert search_markdown({"type": "web_search_call", "action": action}) == shown


CARD = re.compile(
    r'<details type="tool_calls" done="true" id="([^"<>]*)" name="([^"<>]*)" arguments="([^"<>]*)" '
    r'result="([^"<>]*)" files="" embeds="">\n<summary>Tool Executed</summary>\n</details>'
)


def card_of(text: str) -> tuple[str, str, Any, Any]:
    """Read a card as Open WebUI does."""
    read = CARD.fullmatch(text)
    assert read, f"not a card: {text}"
    card_id, name, arguments, result = map(html.unescape, read.groups())
    return card_id, name, json.loads(json.loads(arguments)), json.loads(result)


def test_a_step_is_a_card_of_open_webui():
    assert card_of(step_card(command(output="a\n[exit 3]"))) == (
        "a",
        "shell",
        {"command": "ls", "cwd": "."},
        "a\n[exit 3]",
    )
    assert card_of(step_card(step("danger", {}, error="no", server="s"))) == ("a", "s.danger", {}, "no")
    assert card_of(step_card(command(output="tick", is_complete=False)))[3] == "tick\n[still running]"
    assert card_of(search_card({"action": {"type": "search"}}, "search-1"))[:2] == ("search-1", "web_search")


@given(st.text(), st.text())
@settings(deadline=None)
def test_whatever_a_command_prints_stays_in_its_card(line: str, output: str):
    arguments = card_of(step_card(command(line, output)))[2]

    assert arguments["command"] == without_marks(line)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("All done.", "All done."),
        (f"I look.\n\n```console\n$ ls\n```{SEPARATOR}All\n\n---\n\ndone.", "All\n\n---\n\ndone."),
        (f"\nhello\n\n{ANSWER_MARK}All done.", "All done."),
        (f"{ANSWER_MARK}One.\n\n{ANSWER_MARK}Two.", "Two."),
        (f"One.{ANSWER_END}\n\n```console\n$ ls\n```", "One."),
        (f"One.{ANSWER_END}\n\nA step.{SEPARATOR}Two.{ANSWER_END}\n\nMore.", "Two."),
        ("", ""),
    ],
)
def test_the_final_answer_is_found_in_a_message_that_comes_back(text: str, answer: str):
    assert final_answer(text) == answer
