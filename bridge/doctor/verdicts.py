"""What an observation means: a base URL as typed, how a stream arrived, a preflight, what is left of the quota."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from bridge.doctor.findings import Finding, fail, ok, skip, warn
from codex_rpc.quota import RateLimit, Window

ORIGIN = "vscode-file://vscode-app"
"""The origin with which Cursor's own window sends requests."""


class Arrival(Struct, frozen=True):
    """A piece of a test stream: when it was sent and when it came, each by the clock of its side, in seconds."""

    sent: float
    came: float


def root_of(url: str) -> str:
    """Return the address without a path; a base URL may end in `/v1` and in slashes."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    return f"{parts.scheme}://{parts.netloc}"


def judge_base_url(url: str) -> Finding:
    """Say whether a client can use the base URL as it is typed, and which form is meant."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return fail(f"{url!r} is no URL", f"write it as https://{url.strip().strip('/') or 'HOST'}")
    meant = root_of(url.strip()).replace("http://", "https://", 1)
    if _is_private(parts.hostname):
        return fail(
            f"{parts.hostname} is this machine or network; Cursor's servers cannot reach it",
            "use a tunnel: codex-openai-proxy serve --tunnel quick",
        )
    if parts.scheme == "http":
        return fail("Cursor takes https alone", f"write {meant}")
    path = parts.path.strip("/")
    if parts.query or path not in {"", "v1"}:
        return fail(f"there is too much behind the host: /{path}", f"write {meant}; Cursor adds the rest by itself")
    if url.strip() == meant:
        return ok(f"{meant} is the form that is meant; with /v1 or a slash behind it works as well")
    return ok(f"{url.strip()} works; meant is {meant}, without /v1 and slash")


def _is_private(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".lan")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not address.is_global


def judge_stream(arrivals: Sequence[Arrival], *, cut: bool) -> Finding:
    """Say whether the pieces of a stream came as they were sent, or all at once at its end."""
    if cut or len(arrivals) < 2:
        return fail(
            f"the stream was cut after {len(arrivals)} pieces",
            "see the log of the tunnel; a quick tunnel is not made for streams, a named one is",
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
    """Say whether a stream without content, kept alive by comments, lived through `seconds`."""
    if ended:
        return ok(f"a stream that was silent for {seconds:g} s came to its proper end")
    return fail(
        f"a silent stream was cut after {after:.0f} s of {seconds:g}",
        "set `--keep-alive 5` on the server, and raise the time-out for idle connections of what stands between "
        "(Cloudflare cuts after 100 s without a byte, nginx after `proxy_read_timeout`)",
    )


def judge_preflight(status: int, headers: Mapping[str, str]) -> Finding:
    """Say whether a browser, or Cursor's window, may send its requests here."""
    missing: list[str] = []
    if not 200 <= status < 300:
        missing.append(f"status {status} in place of 204")
    if headers.get("access-control-allow-origin") not in {"*", ORIGIN}:
        missing.append("no Access-Control-Allow-Origin")
    if "authorization" not in headers.get("access-control-allow-headers", "").lower():
        missing.append("Authorization is not among Access-Control-Allow-Headers")
    if "POST" not in headers.get("access-control-allow-methods", "").upper():
        missing.append("POST is not among Access-Control-Allow-Methods")
    if missing:
        return fail(
            f"the preflight (OPTIONS) is not answered by this server: {', '.join(missing)}",
            "let OPTIONS requests through unchanged: no CORS settings, Access application or rule for them in between",
        )
    return ok("the preflight allows POST with Authorization from everywhere")


SCARCE = 90
"""Percent of a window that may be used before somebody should know."""


def judge_quota(limits: Iterable[RateLimit], epoch: float) -> Finding:
    """Say what is left of the plan's windows at `epoch`."""
    windows = [window for limit in limits for window in limit.windows.values()]
    if not windows:
        return skip("the plan tells nothing of its quota")
    fullest = max(windows, key=lambda window: window.used_percent)
    words = f"{_span(fullest)} is used to {fullest.used_percent:g} %{_until(fullest, epoch)}"
    if fullest.used_percent >= 100:
        return fail(f"nothing is left: {words}", "wait for the reset, or take a model with a limit of its own")
    if fullest.used_percent >= SCARCE:
        return warn(f"little is left: {words}", "wait for the reset, or take a smaller model or effort")
    return ok("; ".join(f"{_span(window)} is used to {window.used_percent:g} %" for window in windows))


def _span(window: Window) -> str:
    match window.minutes:
        case None:
            return "a window"
        case minutes if minutes % 1440 == 0:
            return f"the window of {minutes // 1440} days"
        case minutes if minutes % 60 == 0:
            return f"the window of {minutes // 60} hours"
        case minutes:
            return f"the window of {minutes} minutes"


def _until(window: Window, epoch: float) -> str:
    if window.resets_at is None:
        return ""
    hours, minutes = divmod(max(0, round((window.resets_at - epoch) / 60)), 60)
    return (
        f" and begins anew in {hours // 24} d {hours % 24} h"
        if hours >= 24
        else f" and begins anew in {hours} h {minutes} min"
    )
