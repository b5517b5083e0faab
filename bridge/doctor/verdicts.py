"""Turns observations into findings: the typed base URL, stream arrivals, a preflight, the models, the quota."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from bridge.codex.models import DEFAULT, NAMED, default_model
from bridge.doctor.findings import Finding, fail, ok, skip, warn
from codex_rpc.quota import RateLimit, Window
from codex_rpc.wire.calls import Model

ORIGIN = "vscode-file://vscode-app"
"""The origin of requests from Cursor's own window."""


class Arrival(Struct, frozen=True):
    """A piece of a test stream: when it was sent (server's clock) and when it came (our clock), in seconds."""

    sent: float
    came: float


def root_of(url: str) -> str:
    """Return scheme and host of a base URL, which may end in `/v1` and slashes."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    return f"{parts.scheme}://{parts.netloc}"


def judge_base_url(url: str) -> Finding:
    """Say whether a client can use the base URL as typed, and which form is recommended."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return fail(f"{url!r} is not a URL", f"write it as https://{url.strip().strip('/') or 'HOST'}")
    recommended = root_of(url.strip()).replace("http://", "https://", 1)
    if _is_private(parts.hostname):
        return fail(
            f"{parts.hostname} is on this machine or network; Cursor's servers cannot reach it",
            "use a tunnel: codex-openai-proxy serve --tunnel quick",
        )
    if parts.scheme == "http":
        return fail("Cursor accepts only https", f"write {recommended}")
    path = parts.path.strip("/")
    if parts.query or path not in {"", "v1"}:
        return fail(f"the base URL has a wrong path: /{path}", f"write {recommended}; Cursor adds the rest itself")
    if url.strip() == recommended:
        return ok(f"{recommended} is the recommended form; a trailing /v1 or slash works too")
    return ok(f"{url.strip()} works; the recommended form is {recommended}, without /v1 and slash")


def _is_private(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".lan")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not address.is_global


def judge_stream(arrivals: Sequence[Arrival], *, cut: bool) -> Finding:
    """Say whether the pieces of a stream arrived as they were sent, or all at once at the end."""
    if cut or len(arrivals) < 2:
        return fail(
            f"the stream was cut after {len(arrivals)} pieces",
            "see the tunnel's log; quick tunnels do not support streams well, use a named one",
        )
    sending = arrivals[-1].sent - arrivals[0].sent
    coming = arrivals[-1].came - arrivals[0].came
    if coming < sending / 2:
        return fail(
            f"{len(arrivals)} pieces, sent over {sending:.1f} s, arrived within {coming:.1f} s: something between "
            "holds the stream back until its end",
            "switch off buffering, caching and compression for this host (nginx: `proxy_buffering off`); with "
            "cloudflared use a named tunnel with `protocol: http2`",
        )
    return ok(f"{len(arrivals)} pieces arrived over {coming:.1f} s, as they were sent")


def judge_silence(seconds: float, *, ended: bool, after: float) -> Finding:
    """Say whether a stream with keep-alive comments but no content survived `seconds` of silence."""
    if ended:
        return ok(f"a stream that was silent for {seconds:g} s completed")
    return fail(
        f"a silent stream was cut after {after:.0f} s of {seconds:g}",
        "set `--keep-alive 5` on the server, and raise the idle time-out of the proxies in between "
        "(Cloudflare cuts after 100 s without a byte, nginx after `proxy_read_timeout`)",
    )


def judge_preflight(status: int, headers: Mapping[str, str]) -> Finding:
    """Say whether browsers and Cursor's window may send requests to the server."""
    missing: list[str] = []
    if not 200 <= status < 300:
        missing.append(f"status {status} instead of 204")
    if headers.get("access-control-allow-origin") not in {"*", ORIGIN}:
        missing.append("no Access-Control-Allow-Origin")
    if "authorization" not in headers.get("access-control-allow-headers", "").lower():
        missing.append("Authorization is not among Access-Control-Allow-Headers")
    if "POST" not in headers.get("access-control-allow-methods", "").upper():
        missing.append("POST is not among Access-Control-Allow-Methods")
    if missing:
        return fail(
            f"the preflight (OPTIONS) is not answered by this server: {', '.join(missing)}",
            "let OPTIONS requests through unchanged: no CORS settings, Access application or rule in between",
        )
    return ok("the preflight allows POST with Authorization from any origin")


SCARCE = 90
"""Percent of a limit; from here on the finding is a warning."""


def judge_quota(limits: Iterable[RateLimit], epoch: float) -> Finding:
    """Say how much of the plan's limits is used at the time `epoch` (epoch seconds)."""
    windows = [window for limit in limits for window in limit.windows.values()]
    if not windows:
        return skip("the plan reports no quota")
    fullest = max(windows, key=lambda window: window.used_percent)
    words = f"{_limit(fullest)}: {fullest.used_percent:g}% used{_until(fullest, epoch)}"
    if fullest.used_percent >= 100:
        return fail(f"no quota left; {words}", "wait for the reset, or use a model with a separate limit")
    if fullest.used_percent >= SCARCE:
        return warn(f"little quota left; {words}", "wait for the reset, or use a smaller model or effort")
    return ok("; ".join(f"{_limit(window)}: {window.used_percent:g}% used" for window in windows))


def judge_models(listed: Sequence[Model]) -> Finding:
    """Say what the default model is, and which named models are not among those that codex lists for the login."""
    default = default_model(listed)
    if default is None:
        return fail("codex lists no model for this login", "log in with another account, or update codex")
    found = f"{len(listed)}, `{DEFAULT}` means {default.slug}"
    if missing := [name for name in NAMED if name not in {model.slug for model in listed}]:
        found += f"; not for this login, and perhaps refused: {', '.join(missing)}"
    return ok(found)


def _limit(window: Window) -> str:
    match window.minutes:
        case None:
            return "limit"
        case minutes if minutes % 1440 == 0:
            return f"{minutes // 1440}-day limit"
        case minutes if minutes % 60 == 0:
            return f"{minutes // 60}-hour limit"
        case minutes:
            return f"{minutes}-minute limit"


def _until(window: Window, epoch: float) -> str:
    if window.resets_at is None:
        return ""
    hours, minutes = divmod(max(0, round((window.resets_at - epoch) / 60)), 60)
    return f", resets in {hours // 24} d {hours % 24} h" if hours >= 24 else f", resets in {hours} h {minutes} min"
