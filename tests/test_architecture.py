"""The layers of the source: who may import whom, and what a pure module may not touch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ORDER = {
    "codex_rpc": (
        "codex_rpc",
        "codex_rpc.errors",
        "codex_rpc.framing",
        "codex_rpc.pace",
        "codex_rpc.messages",
        "codex_rpc.arguments",
        "codex_rpc.quota",
        "codex_rpc.calls",
        "codex_rpc.protocol",
        "codex_rpc.peer",
        "codex_rpc.session",
        "codex_rpc.tidy",
        "codex_rpc.steps",
        "codex_rpc.player",
        "codex_rpc.delta_lines",
        "codex_rpc.inbox",
        "codex_rpc.background",
        "codex_rpc.child",
        "codex_rpc.process",
        "codex_rpc.recording",
        "codex_rpc.replay",
        "codex_rpc.outgoing",
        "codex_rpc.caller",
        "codex_rpc.client",
        "codex_rpc.supervisor",
    ),
    "bridge": (
        "bridge",
        "bridge.folders",
        "bridge.errors",
        "bridge.config",
        "bridge.mint",
        "bridge.sse",
        "bridge.fair_queue",
        "bridge.metrics",
        "bridge.json_body",
        "bridge.access",
        "bridge.account_text",
        "bridge.model_names",
        "bridge.tool_schema",
        "bridge.tools",
        "bridge.prompt",
        "bridge.events",
        "bridge.limits",
        "bridge.echo",
        "bridge.ledger",
        "bridge.report",
        "bridge.logs",
        "bridge.stored",
        "bridge.histories",
        "bridge.prefixes",
        "bridge.conversations",
        "bridge.codex_config",
        "bridge.plain_model",
        "bridge.redaction",
        "bridge.cases",
        "bridge.case_redaction",
        "bridge.seen",
        "bridge.library",
        "bridge.openai",
        "bridge.openai.shapes",
        "bridge.openai.images",
        "bridge.openai.content",
        "bridge.openai.tool_specs",
        "bridge.openai.tool_choice",
        "bridge.openai.answer_format",
        "bridge.openai.history",
        "bridge.openai.response_object",
        "bridge.openai.response_items",
        "bridge.openai.reasoning_text",
        "bridge.openai.response_input",
        "bridge.openai.model_settings",
        "bridge.openai.clients",
        "bridge.openai.usage",
        "bridge.openai.models",
        "bridge.openai.chat_messages",
        "bridge.openai.chat_request",
        "bridge.openai.chat_answer",
        "bridge.openai.chat_stream",
        "bridge.openai.chat_completion",
        "bridge.openai.response_output",
        "bridge.openai.response_writers",
        "bridge.openai.response_fields",
        "bridge.openai.repeated",
        "bridge.openai.response_request",
        "bridge.openai.input_items",
        "bridge.translate",
        "bridge.store",
        "bridge.redis_store",
        "bridge.stores",
        "bridge.codex_home",
        "bridge.backend",
        "bridge.admission",
        "bridge.turns",
        "bridge.spares",
        "bridge.threads",
        "bridge.exchanges",
        "bridge.opener",
        "bridge.answers",
        "bridge.last_part",
        "bridge.request_body",
        "bridge.middleware",
        "bridge.responses",
        "bridge.status",
        "bridge.launch",
        "bridge.tunnel",
        "bridge.tunnel.config",
        "bridge.tunnel.errors",
        "bridge.tunnel.log",
        "bridge.tunnel.files",
        "bridge.tunnel.cloudflared",
        "bridge.tunnel.public_address",
        "bridge.tunnel.setup",
        "bridge.doctor",
        "bridge.certificate",
        "bridge.doctor.findings",
        "bridge.doctor.http",
        "bridge.doctor.symptoms",
        "bridge.doctor.subject",
        "bridge.doctor.verdicts",
        "bridge.doctor.codex_checks",
        "bridge.doctor.server_checks",
        "bridge.doctor.tunnel_checks",
        "bridge.doctor.checks",
        "bridge.doctor.inside",
        "bridge.self_test",
        "bridge.page",
        "bridge.app",
        "bridge.key_file",
        "bridge.case_folders",
        "bridge.recorder",
        "bridge.replaying",
        "bridge.stage",
        "bridge.case_stages",
        "bridge.stages",
        "bridge.demo",
        "bridge.cli.settings",
        "bridge.cli.server_settings",
        "bridge.asgi",
        "bridge.listeners",
        "bridge.serve",
        "bridge.cli.terminal",
        "bridge.cli.cursor_values",
        "bridge.check",
        "bridge.replay_server",
        "bridge.pytest_plugin",
        "bridge.cli.serving",
        "bridge.cli.serve",
        "bridge.cli.server_options",
        "bridge.cli.login",
        "bridge.cli.doctor",
        "bridge.cli.tunnel",
        "bridge.cli.questions",
        "bridge.cli.models",
        "bridge.cli.status",
        "bridge.cli.completion",
        "bridge.cli.record",
        "bridge.cli.replay",
        "bridge.cli",
        "bridge.__main__",
    ),
}
"""The modules of each package, the lowest first: a module imports only what stands above it here."""

PURE = frozenset(
    {
        "codex_rpc.arguments",
        "codex_rpc.calls",
        "codex_rpc.delta_lines",
        "codex_rpc.errors",
        "codex_rpc.framing",
        "codex_rpc.messages",
        "codex_rpc.peer",
        "codex_rpc.player",
        "codex_rpc.protocol",
        "codex_rpc.session",
        "codex_rpc.steps",
        "codex_rpc.tidy",
        "codex_rpc.quota",
        "bridge.access",
        "bridge.account_text",
        "bridge.case_redaction",
        "bridge.cases",
        "bridge.config",
        "bridge.prefixes",
        "bridge.conversations",
        "bridge.echo",
        "bridge.errors",
        "bridge.events",
        "bridge.fair_queue",
        "bridge.ledger",
        "bridge.metrics",
        "bridge.report",
        "bridge.json_body",
        "bridge.limits",
        "bridge.library",
        "bridge.mint",
        "bridge.model_names",
        "bridge.codex_config",
        "bridge.plain_model",
        "bridge.prompt",
        "bridge.redaction",
        "bridge.seen",
        "bridge.sse",
        "bridge.stored",
        "bridge.histories",
        "bridge.tool_schema",
        "bridge.tools",
        "bridge.translate",
        "bridge.tunnel.config",
        "bridge.tunnel.errors",
        "bridge.tunnel.log",
        "bridge.doctor.findings",
        "bridge.doctor.symptoms",
        "bridge.doctor.verdicts",
    }
)
"""Modules that decide and do nothing else; all of `bridge.openai` belongs to them."""

IMPURE = frozenset(
    {
        "anyio",
        "asyncio",
        "hypercorn",
        "logging",
        "os",
        "pathlib",
        "platformdirs",
        "random",
        "redis",
        "socket",
        "sqlite3",
        "starlette",
        "subprocess",
        "tempfile",
        "time",
        "uuid",
    }
)
"""Where input, output, clocks, ids and chance come from."""


def modules(package: str) -> dict[str, Path]:
    """Return every module of a package: its dotted name and its file."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of every import in a file, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(source), names=names, level=0):
                yield from ((node.lineno, f"{source}.{alias.name}") for alias in names)
            case ast.ImportFrom():
                raise AssertionError(f"{path}:{node.lineno}: a relative import, whose target this test cannot tell")
            case _:
                pass


def module_of(name: str, known: dict[str, Path]) -> str:
    """Return the module that an imported name lies in, or the name itself if it is none of ours."""
    parts = name.split(".")
    whole = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((module for module in whole if module in known), name)


ALL = {name: path for package in ORDER for name, path in modules(package).items()}


def uses(module: str) -> list[tuple[str, str]]:
    """Return what a module imports, each with the place where it does."""
    path = ALL[module]
    return [(module_of(name, ALL), f"{path.relative_to(ROOT)}:{line}") for line, name in imports(path)]


def is_pure(module: str) -> bool:
    """Whether a module of ours has no business with the outside."""
    return module in PURE or f"{module}.".startswith("bridge.openai.")


@pytest.mark.parametrize("package", ORDER)
def test_every_module_has_its_place_in_the_order(package: str) -> None:
    order = ORDER[package]
    assert len(set(order)) == len(order)
    assert set(order) == set(modules(package)), "put a new module into ORDER, where its imports allow it"


@pytest.mark.parametrize("module", [module for order in ORDER.values() for module in order])
def test_a_module_imports_only_modules_below_it(module: str) -> None:
    order = ORDER[module.partition(".")[0]]
    below = set(order[: order.index(module)])
    wrong = [f"{where} imports {used}" for used, where in uses(module) if used in order and used not in below]
    assert not wrong


def test_codex_rpc_knows_nothing_of_bridge() -> None:
    wrong = [
        f"{where} imports {used}"
        for module in ORDER["codex_rpc"]
        for used, where in uses(module)
        if used.partition(".")[0] == "bridge"
    ]
    assert not wrong


def test_every_module_that_is_called_pure_exists() -> None:
    assert set(ALL) >= PURE


@pytest.mark.parametrize("module", [module for module in ALL if is_pure(module)])
def test_a_pure_module_touches_neither_the_world_nor_a_module_that_does(module: str) -> None:
    wrong = [
        f"{where} imports {used}"
        for used, where in uses(module)
        if used.partition(".")[0] in IMPURE or (used in ALL and not is_pure(used))
    ]
    assert not wrong
