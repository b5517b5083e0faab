"""The first start of a codex checks, with a backend on this machine, that codex adds nothing to the model's input."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from bridge.codex.launch import Launcher
from bridge.conversation import self_check
from bridge.conversation.self_check import check_model_input
from codex_rpc.errors import CodexAddsTextError
from codex_rpc.process.process import find_codex
from tests.harness.program import run
from tests.harness.proxy import proxy, user
from tests.harness.upstream import Upstream

pytestmark = pytest.mark.usefixtures("home")

ENVIRONMENT = "-c include_environment_context=true"
SKILLS = "-c skills.include_instructions=true -c skills.bundled.enabled=true"


def codex() -> str:
    return str(find_codex(os.environ.get("CODEX_UNDER_TEST")))


def changed_codex(folder: Path, app_server: str) -> str:
    """Write a codex that runs the real one, its app-server with `app_server` in its command line."""
    script = folder / "codex"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = app-server ]; then exec "{codex()}" "$@" {app_server}; fi\nexec "{codex()}" "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


async def test_the_real_codex_passes_and_is_checked_once(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    start = await Launcher(codex(), check=check_model_input).prepare()
    await check_model_input(start)

    monkeypatch.setattr(self_check, "_found", None)  # a second check would fail
    await check_model_input(start)
    assert upstream.requests == []


async def test_a_codex_whose_file_changed_is_checked_again(tmp_path: Path) -> None:
    start = await Launcher(changed_codex(tmp_path, "")).prepare()
    await check_model_input(start)

    changed_codex(tmp_path, ENVIRONMENT)
    with pytest.raises(CodexAddsTextError, match="<environment_context>"):
        await check_model_input(start)


@pytest.mark.parametrize(("option", "shown"), [(ENVIRONMENT, "<environment_context>"), (SKILLS, "skills")])
async def test_a_codex_that_adds_text_is_refused_with_the_text(tmp_path: Path, option: str, shown: str) -> None:
    start = await Launcher(changed_codex(tmp_path, option)).prepare()
    for _ in range(2):  # only a codex that passes is remembered
        with pytest.raises(CodexAddsTextError, match=shown):
            await check_model_input(start)


async def test_serve_ends_with_the_difference_and_how_to_accept_it(tmp_path: Path) -> None:
    leaky = changed_codex(tmp_path, ENVIRONMENT)
    outcome = await run("serve", "--addr", "127.0.0.1:0", "--codex", leaky, CODEX_OPENAI_PROXY_CODEX_UNCHECKED="false")
    assert outcome.status == 1
    error = outcome.stderr.splitlines()[-1]
    assert error.startswith("Error: codex-cli ")
    assert "<environment_context>" in error
    assert error.endswith("or accept this with --codex-unchecked true")


async def test_a_codex_that_is_accepted_unchecked_serves(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with proxy(upstream, home, codex=changed_codex(tmp_path, ENVIRONMENT), codex_unchecked=True) as bridge:
        assert (await bridge.chat(user("hi"))).status_code == 200


async def test_a_checked_codex_serves(upstream: Upstream, home: Path) -> None:
    async with proxy(upstream, home, codex_unchecked=False) as bridge:
        assert (await bridge.chat(user("hi"))).status_code == 200
    assert len(upstream.requests) == 1


async def test_a_codex_that_cannot_be_checked_is_served_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start = await Launcher(changed_codex(tmp_path, '-c model_provider=\\"missing\\"')).prepare()
    with caplog.at_level(logging.WARNING):
        await check_model_input(start)
    assert "could not be checked" in caplog.text


async def test_a_provider_in_the_administrators_configuration_prevents_the_check(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    managed = tmp_path / "managed_config.toml"
    managed.write_text(f'model_provider = "x"\n[model_providers.x]\nname = "x"\nbase_url = "{upstream.base_url}"\n')
    monkeypatch.setattr("bridge.codex.home.MANAGED_CONFIG", managed)
    start = await Launcher(codex()).prepare()
    with caplog.at_level(logging.WARNING):
        await check_model_input(start)
    assert "the administrator's configuration names its provider" in caplog.text
