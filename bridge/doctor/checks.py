"""The table of all checks, in order of dependency, and the loop that runs them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, aclosing, nullcontext
from pathlib import Path
from typing import Any

from msgspec import Struct

from bridge.config import Settings
from bridge.doctor import codex_checks, keys_checks, server_checks, tunnel_checks
from bridge.doctor.findings import Examined, Finding, report, skip
from bridge.doctor.subject import Subject
from bridge.tunnel.files import existing_config


class Check(Struct, frozen=True):
    """One check; it is skipped when a check that it `needs` has failed."""

    id: str
    title: str
    run: Callable[[Subject], Awaitable[Finding]]
    needs: tuple[str, ...] = ()


CHECKS = (
    Check("codex", "Codex", codex_checks.codex),
    Check("login", "Codex login", codex_checks.login, ("codex",)),
    Check("login-models", "Models of the login", codex_checks.models, ("codex", "login")),
    Check("sandbox", "Sandbox of agents", codex_checks.sandbox, ("codex",)),
    Check("quota", "Quota of the plan", codex_checks.quota, ("codex", "login")),
    Check("port", "Port", server_checks.port),
    Check("models", "Local /models", server_checks.local_models, ("port",)),
    Check("cors", "Local preflight (CORS)", server_checks.local_preflight, ("port",)),
    Check("chat", "A real streamed chat", server_checks.chat, ("codex", "login", "port", "models")),
    Check("key", "API key", tunnel_checks.api_key, ("port",)),
    Check("keys", "Named keys", keys_checks.named_keys),
    Check("cloudflared", "cloudflared", tunnel_checks.cloudflared),
    Check("tunnel-config", "Tunnel configuration", tunnel_checks.tunnel_config, ("cloudflared",)),
    Check("tunnel", "Tunnel", tunnel_checks.tunnel),
    Check("base-url", "Base URL", server_checks.base_url),
    Check("public-models", "Public /models", server_checks.public_models),
    Check("public-cors", "Public preflight (CORS)", server_checks.public_preflight, ("public-models",)),
    Check("stream", "Public stream", server_checks.stream, ("public-models",)),
)

LONG_CHECKS = (Check("silence", "Public stream in silence", server_checks.silence, ("public-models", "stream")),)
"""Checks that take minutes."""

INSIDE = frozenset(
    {"codex", "login", "login-models", "sandbox", "quota", "keys", "cloudflared", "tunnel-config", "tunnel"}
)
"""Ids of the checks that a running server can make itself."""


async def examine(
    subject: Subject, checks: Iterable[Check], around: Callable[[Check], AbstractContextManager[None]]
) -> AsyncGenerator[Examined]:
    """Run `checks` in order, each inside the context that `around` returns for it; yield the findings."""
    failed: set[str] = set()
    for check in checks:
        if missing := [need for need in check.needs if need in failed]:
            finding = skip(f"skipped, because `{missing[0]}` failed")
        else:
            with around(check):
                finding = await check.run(subject)
        if finding.mark == "fail":
            failed.add(check.id)
        yield Examined(check.id, check.title, finding)


async def look_around(settings: Settings, tunnel: str | None) -> dict[str, Any]:
    """Run the checks of `INSIDE` for the server itself; return the report with the public address as `url`.

    `tunnel` is the address of the tunnel that was started with the server, if there is one.
    """
    subject = Subject(
        settings.codex,
        port=settings.port,
        certfile=settings.certfile,
        tunnel_config=existing_config(),
        keys_file=Path(settings.keys_file) if settings.keys_file else None,
    )
    checks = [check for check in CHECKS if check.id in INSIDE]
    async with aclosing(examine(subject, checks, lambda _: nullcontext())) as rounds:
        found = [one async for one in rounds]
    public = await tunnel_checks.address_of(tunnel, subject)
    return {**report(found), "url": public and public.url}
