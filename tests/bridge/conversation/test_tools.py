from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bridge.conversation.tools import Grammar, Tool, Toolbox, codex_name, codex_namespace

PATCH = Tool.custom("ApplyPatch", "Edits files.", Grammar("lark", 'start: "x"+'))
LOOK = Tool.function("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
SHELL = Tool.function("exec_command", "Runs.", {})
BOX = Toolbox((PATCH, LOOK, SHELL))

NAMES = st.one_of(
    st.text(),
    st.text(min_size=120, max_size=140, alphabet="ab-_é."),
    st.from_regex(r"(mcp|x)_{0,2}[a-z_]{0,3}(_[0-9a-f]{8})?", fullmatch=True),
    st.sampled_from(["exec_command", "shell_command", "mcp", "mcp__"]),
)


@pytest.mark.parametrize(
    "name", ["look", "Look-2_b", "_", "x" * 128, "mcp_x", "exec_command_", "shell", "x_", "x_1234567", "x_y_1234567g"]
)
def test_a_name_that_codex_accepts_is_unchanged(name: str) -> None:
    assert codex_name(name) == name


@pytest.mark.parametrize(
    ("name", "mapped"),
    [
        ("exec_command", "x_exec_command_"),
        ("shell_command", "x_shell_command_"),
        ("mcp", "x_mcp_"),
        ("mcp__github__search", "x_mcp__github__search_"),
        ("container.exec", "x_container_exec_"),
        ("größe\n", "x_gr__e__"),
        ("x" * 129, f"x_{'x' * 117}_"),
        ("x_look_0123abcd", "x_x_look_0123abcd_"),
        ("", "x__"),
    ],
)
def test_a_name_that_codex_hides_or_refuses_is_mapped(name: str, mapped: str) -> None:
    assert re.fullmatch(re.escape(mapped) + "[0-9a-f]{8}", codex_name(name))


def test_a_name_is_mapped_to_the_same_name_in_every_run() -> None:
    assert codex_name("exec_command") == "x_exec_command_aa6e9988"


@given(NAMES, NAMES)
@example("a.b", "a_b")
@example("a.b", "a,b")
@example("exec_command", codex_name("exec_command"))
def test_different_names_stay_different_and_codex_accepts_them(one: str, other: str) -> None:
    for name in (one, other):
        mapped = codex_name(name)
        assert re.fullmatch("[a-zA-Z0-9_-]{1,128}", mapped)
        assert mapped not in {"exec_command", "shell_command", "mcp"}
        assert not mapped.startswith("mcp__")
    assert (codex_name(one) == codex_name(other)) == (one == other)


def test_each_tool_is_declared_to_codex_as_a_function() -> None:
    assert Toolbox((LOOK, SHELL)).specs() == [
        {
            "type": "function",
            "name": "look",
            "description": "Looks.",
            "inputSchema": {"type": "object", "properties": {"at": {"type": "string"}}},
        },
        {
            "type": "function",
            "name": codex_name("exec_command"),
            "description": "Runs.",
            "inputSchema": {"type": "object", "properties": {}},
        },
    ]


@pytest.mark.parametrize(
    ("description", "grammar", "sent"),
    [
        ("", None, "`input` is the raw text that this tool takes, as it is: not JSON, no fence around it."),
        (
            "Draws.",
            None,
            "Draws.\n\n`input` is the raw text that this tool takes, as it is: not JSON, no fence around it.",
        ),
        (
            "Draws.",
            Grammar("regex", "[a-z]+"),
            "Draws.\n\n`input` is the raw text that this tool takes, as it is: not JSON, no fence around it. "
            "It must match this regex grammar:\n[a-z]+",
        ),
    ],
    ids=["bare", "described", "with a grammar"],
)
def test_a_custom_tool_becomes_a_function_with_one_raw_text(
    description: str, grammar: Grammar | None, sent: str
) -> None:
    assert Tool.custom("draw", description, grammar).spec() == {
        "type": "function",
        "name": "draw",
        "description": sent,
        "inputSchema": {
            "type": "object",
            "properties": {"input": {"type": "string", "description": "The raw text."}},
            "required": ["input"],
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize("type_", [{}, {"type": None}, {"type": "object"}, {"type": ["object", "null"]}], ids=str)
def test_the_arguments_of_a_function_are_an_object(type_: dict[str, Any]) -> None:
    assert Tool.function("f", "", type_).schema == {"type": "object", "properties": {}}


def sized(size: int) -> dict[str, Any]:
    """Return a schema of this many bytes of compact JSON."""

    def described(description: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"é": {"type": "string", "description": description}}}

    return described("x" * (size - len(orjson.dumps(described("")))))


def test_a_schema_that_codex_would_cut_is_repeated_in_the_description() -> None:
    assert Tool.function("f", "Does.", sized(5000)).description == "Does."
    big = sized(5001)
    repeated = f"The arguments must match this JSON schema:\n{orjson.dumps(big).decode()}"
    assert Tool.function("f", "Does.", big).description == f"Does.\n\n{repeated}"
    assert Tool.function("f", "", big).description == repeated


def test_a_reference_that_only_a_description_holds_is_repeated_with_its_definition() -> None:
    definitions = {"$defs": {"P": {"type": "number"}}}
    pair = {"type": "array", "prefixItems": [{"$ref": "#/$defs/P"}]}
    description = Tool.function("f", "", {"type": "object", "properties": {"at": pair}, **definitions}).description
    assert '"$defs":{"P":{"type":"number"}}' in description
    one = {"$ref": "#/$defs/P", "default": 1}
    assert Tool.function("f", "", {"type": "object", "properties": {"at": one}, **definitions}).description == ""


def test_a_tool_knows_its_kind() -> None:
    assert [tool.kind for tool in BOX.tools] == ["custom", "function", "function"]


def test_tools_are_found_by_the_clients_and_by_codexs_name() -> None:
    assert BOX.find("exec_command") is SHELL
    assert BOX.call_to_client(codex_name("exec_command"), "{}") == (SHELL, "{}")
    assert BOX.find(codex_name("exec_command")) is None
    assert BOX.call_to_client("exec_command", "{}") is None


@pytest.mark.parametrize(
    ("name", "arguments", "call"),
    [
        ("look", '{"at": "x"}', (LOOK, '{"at": "x"}')),
        ("look", '{"input": "x"}', (LOOK, '{"input": "x"}')),
        (codex_name("exec_command"), "{}", (SHELL, "{}")),
        ("ApplyPatch", '{"input": "*** Begin\\n"}', (PATCH, "*** Begin\n")),
        ("ApplyPatch", '{"input": "", "more": 1}', (PATCH, "")),
        ("ApplyPatch", '{"input": 5}', (PATCH, '{"input": 5}')),
        ("ApplyPatch", '{"patch": "x"}', (PATCH, '{"patch": "x"}')),
        ("ApplyPatch", '["input"]', (PATCH, '["input"]')),
        ("ApplyPatch", "*** Begin", (PATCH, "*** Begin")),
        ("undeclared", "{}", None),
        ("exec_command", "{}", None),
    ],
)
def test_a_call_of_the_model_reaches_the_client(name: str, arguments: str, call: tuple[Tool, str] | None) -> None:
    assert BOX.call_to_client(name, arguments) == call


@pytest.mark.parametrize(
    ("name", "arguments", "call"),
    [
        ("look", '{"at":  "x"}', ("look", '{"at":  "x"}')),
        ("look", "not JSON", ("look", "not JSON")),
        ("exec_command", "{}", (codex_name("exec_command"), "{}")),
        ("mcp__gone", "{}", (codex_name("mcp__gone"), "{}")),
        ("ApplyPatch", "*** é\n", ("ApplyPatch", '{"input":"*** é\\n"}')),
        ("ApplyPatch", "", ("ApplyPatch", '{"input":""}')),
        ("ApplyPatch", '{"input": "x"}', ("ApplyPatch", '{"input": "x"}')),
        ("ApplyPatch", '{"input": 5}', ("ApplyPatch", '{"input":"{\\"input\\": 5}"}')),
        ("ApplyPatch", '{"input":"x","y":1}', ("ApplyPatch", '{"input":"{\\"input\\":\\"x\\",\\"y\\":1}"}')),
        ("ApplyPatch", '["input"]', ("ApplyPatch", '{"input":"[\\"input\\"]"}')),
    ],
)
def test_a_call_in_the_history_reads_as_the_model_wrote_it(name: str, arguments: str, call: tuple[str, str]) -> None:
    assert BOX.call_to_codex(name, arguments) == (*call, None)


@given(st.text())
def test_the_raw_text_of_a_custom_call_is_unchanged_after_codex(text: str) -> None:
    name, arguments, _ = BOX.call_to_codex("ApplyPatch", text)
    assume(arguments != text)
    assert BOX.call_to_client(name, arguments) == (PATCH, text)


# ── Namespaces ───────────────────────────────────────────────────────────────────────────────────────────────────────

FILES_LOOK, WEB_LOOK = LOOK.in_namespace("files", "Files."), LOOK.in_namespace("web", "The web.")
WEB_PATCH = PATCH.in_namespace("web", "The web.")
GROUPED = Toolbox((LOOK, WEB_LOOK, FILES_LOOK, WEB_PATCH))


def test_tools_of_a_namespace_are_declared_in_it() -> None:
    group: dict[str, Any] = {"type": "namespace", "name": codex_namespace("web"), "description": "The web."}
    assert GROUPED.specs() == [
        LOOK.spec(),
        {**group, "tools": [LOOK.spec(), PATCH.spec()]},
        {"type": "namespace", "name": "files", "description": "Files.", "tools": [LOOK.spec()]},
    ]


@pytest.mark.parametrize("tool", GROUPED.tools, ids=lambda tool: str(tool.path))
def test_a_call_in_a_namespace_reaches_its_tool_and_goes_back_unchanged(tool: Tool) -> None:
    arguments = '{"input":"+x"}' if tool.kind == "custom" else "{}"
    namespace, name = tool.path
    called = name, arguments, None if namespace is None else codex_namespace(namespace)
    arguments = "+x" if tool.kind == "custom" else "{}"
    assert GROUPED.call_to_client(*called) == (tool, arguments)
    assert GROUPED.call_to_codex(name, arguments, namespace) == called


def test_an_undeclared_namespace_has_no_tools() -> None:
    assert GROUPED.call_to_client("look", "{}", "other") is None
    assert GROUPED.call_to_client("ApplyPatch", "{}") is None


def test_the_upstreams_name_for_no_namespace_means_none() -> None:
    assert LOOK.in_namespace("functions", "All.") == LOOK
    assert GROUPED.call_to_codex("look", "{}", "functions") == ("look", "{}", None)


@pytest.mark.parametrize("name", ["files", "my_mcp", "mcp_", "n" * 64])
def test_a_namespace_that_codex_accepts_keeps_its_name(name: str) -> None:
    assert codex_namespace(name) == name


@pytest.mark.parametrize("name", ["web", "functions", "mcp", "mcp__github", "tool_search", "a.b", "", "n" * 65])
def test_a_namespace_that_codex_refuses_is_mapped(name: str) -> None:
    assert re.fullmatch("x_[a-zA-Z0-9_-]*_[0-9a-f]{8}", codex_namespace(name))
    assert len(codex_namespace(name)) <= 64


def test_joining_toolboxes_prefers_the_tools_of_the_other() -> None:
    other = Tool.function("look", "Otherwise.", {})
    joined = Toolbox((LOOK, PATCH), {"mode": "live"}).joined(Toolbox((other, WEB_LOOK)))
    assert joined == Toolbox((other, PATCH, WEB_LOOK), {"mode": "live"})
    assert joined.joined(Toolbox((), {"mode": "cached"})).web_search == {"mode": "cached"}


def test_a_tool_search_of_the_client_becomes_a_function() -> None:
    search = Tool.search("Finds.", {"type": "object"})
    assert (search.kind, search.spec()["type"], search.spec()["name"]) == ("search", "function", "tool_search")
    assert Toolbox((search,)).call_to_client("tool_search", '{"query": "x"}') == (search, '{"query": "x"}')
