"""Access control: clients need an API key or, where there is no key, have to be on this machine.

A peer without an address needs the key. Connections over a Unix socket have no address, and neither have those that
were reset before they were accepted.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from bridge.errors import ApiError, foreign_page, invalid_api_key

PRIVATE = frozenset({"/doctor", "/metrics", "/usage", "/agents/stop", "/agents/answer"})
"""Paths that show the account to the user of this machine, or act for them; pages of other origins may not use them."""

OF_THE_OWNER = frozenset({"/doctor", "/doctor/stream", "/metrics"})
"""Paths that named keys may not request. `/usage` shows them their own numbers."""


def check_access(peer: str | None, headers: Mapping[str, str], api_key: str | None, *, keyed: bool) -> ApiError | None:
    """Return why a request without a named key is refused, or None.

    `peer` is an IP address, None if it is unknown; header names are lower case. `keyed` says whether the server
    requires a key, which it may do without an `api_key` of its own. Keys are compared in constant time.
    """
    if not keyed:
        if peer is not None and _is_loopback(peer):
            return None
        return invalid_api_key(
            "This server has no API key, so it answers only requests from its own machine. To allow others, "
            "start it with CODEX_OPENAI_PROXY_API_KEY set and send that key as `Authorization: Bearer KEY`."
        )
    sent = sent_key(headers)
    if sent is None:
        return invalid_api_key("No API key was sent. Send it as `Authorization: Bearer KEY`.")
    if api_key is None or not hmac.compare_digest(sent.encode(), api_key.encode()):
        return invalid_api_key("The API key is not one of this server; it may have been revoked, or have expired.")
    return None


def check_origin(headers: Mapping[str, str], *, keyed: bool) -> ApiError | None:
    """Return why a request for a private path is refused, or None; header names are lower case.

    `keyed` says whether the server requires a key.

    A browser sends the origin of the requesting page in `Origin`, and the host name it used for this server in `Host`.
    Without a key, host names other than this machine's are refused: any site can resolve its own name to this machine
    (DNS rebinding). Requests for images and links have no `Origin`, but under each name of this machine they have
    `Sec-Fetch-Site`, which no page can set. With a key, its `same-origin` is enough, because a proxy may have changed
    `Host`.
    """
    host, site = headers.get("host", ""), headers.get("sec-fetch-site")
    origin = headers.get("origin")
    is_vouched_for = keyed and site == "same-origin"
    if origin is not None and not is_vouched_for and origin.partition("://")[2] != host:
        return foreign_page(f"Pages from {origin} may not use this.")
    if site not in {None, "none", "same-origin"}:
        return foreign_page("Other web pages may not request this. To see it, enter its address in the browser.")
    if not keyed and not _names_this_machine(host):
        return foreign_page(
            f"Without an API key this is shown only under a name such as localhost, not under {host!r}."
        )
    return None


def check_page(headers: Mapping[str, str], origins: Collection[str] = (), *, keyed: bool) -> ApiError | None:
    """Return why a web page may not use the API, or None; header names are lower case.

    Pages from `origins` may, where `*` means all. `keyed` says whether the server requires a key.

    Without a key, any page that the user of this machine visits could use their account. Browsers send the page's
    `Origin` with each POST. Pages served from this machine are allowed, and so are clients that are not web pages:
    editors, extensions, Electron applications with their `file://`. The `null` that browsers send for files
    and sandboxed pages is refused.
    """
    origin = headers.get("origin")
    if keyed or origin is None or "*" in origins or origin in origins:
        return None
    scheme, _, host = origin.partition("://")
    if (host and scheme.lower() not in {"http", "https"}) or origin == "file://" or _is_page_of_this_machine(host):
        return None
    whose = "this page does not state its origin" if origin == "null" else f"this page is from {origin!r}"
    return foreign_page(
        f"Without an API key only web pages of this machine may use this server, and {whose}. "
        f"To allow it, start the server with --allow-origin {origin}, or with CODEX_OPENAI_PROXY_API_KEY set and give "
        "the page that key."
    )


def client_of(scope: Mapping[str, Any]) -> str:
    """Return what identifies a client in the fair queue: its address, key and user agent."""
    headers = dict(scope.get("headers", ()))
    sent = [headers.get(name, b"").decode("latin-1") for name in (b"authorization", b"api-key", b"user-agent")]
    return "\n".join([(scope.get("client") or ("",))[0], *sent])


def _is_page_of_this_machine(host: str) -> bool:
    return _names_this_machine(host) or _name(host) in {"0.0.0.0", "::"}  # noqa: S104 - addresses that servers print


def _names_this_machine(host: str) -> bool:
    """Of IPv6 only ::1: browsers send no `Sec-Fetch-Site` to IPv4 addresses written in IPv6."""
    name = _name(host)
    return name == "localhost" or name.endswith(".localhost") or (_is_loopback(name) and "::ffff:" not in name)


def _name(host: str) -> str:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return name.removeprefix("[").removesuffix("]").lower().removesuffix(".")


def sent_key(headers: Mapping[str, str]) -> str | None:
    """Return the key that a client sent; None if it sent none."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials:
        return credentials.strip()
    return headers.get("api-key")


@lru_cache(1024)
def _is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
