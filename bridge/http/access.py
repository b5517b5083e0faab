"""Who may use the server: whoever has the key, or, where no key is set, whoever is on this machine.

No address, no access: a peer that cannot be placed needs the key. A connection that was reset before it was accepted
has no address, and neither has one over a Unix socket.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from bridge.errors import ApiError, foreign_page, invalid_api_key

PRIVATE = frozenset({"/doctor", "/metrics", "/usage"})
"""What shows the account and is meant for a person at this machine: no page of another origin may read it."""


def check_access(peer: str | None, headers: Mapping[str, str], api_key: str | None) -> ApiError | None:
    """Return why a request is refused, or None.

    `peer` is an IP address, None if it is not known; header names are lower case. Keys are compared in constant time.
    """
    if api_key is None:
        if peer is not None and _is_loopback(peer):
            return None
        return invalid_api_key(
            "This server has no API key and therefore answers only requests from its own machine. To allow others, "
            "start it with CODEX_OPENAI_PROXY_API_KEY set and send that key as `Authorization: Bearer KEY`."
        )
    sent = _sent_key(headers)
    if sent is None:
        return invalid_api_key("No API key was sent. Send it as `Authorization: Bearer KEY`.")
    if not hmac.compare_digest(sent.encode(), api_key.encode()):
        return invalid_api_key("The API key is not the one that this server was started with.")
    return None


def check_origin(headers: Mapping[str, str], api_key: str | None) -> ApiError | None:
    """Return why a request for a private page is refused, or None; header names are lower case.

    A browser names the page that asks in `Origin`, and the name by which it found us in `Host`. Without a key a
    name that is not this machine's is refused: a page of anybody can have its own name lead here (DNS rebinding).
    An image or a link comes without `Origin`, and under each name of this machine with `Sec-Fetch-Site`.
    """
    host = headers.get("host", "")
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        return foreign_page(f"A page of {origin} may not read this.")
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return foreign_page("Another page may not ask for this. To see it, type its address.")
    if api_key is None and not _names_this_machine(host):
        return foreign_page(
            f"Without an API key this is shown only under a name such as localhost, and not as {host!r}."
        )
    return None


def check_page(headers: Mapping[str, str], api_key: str | None) -> ApiError | None:
    """Return why a web page may not use the API, or None; header names are lower case.

    Without a key any page that a person on this machine looks at could use their account. A browser names a page in
    `Origin` with each POST; a page of this machine and what is no page (an editor, an extension, an Electron
    application with its `file://`, which browsers call `null`) may go on.
    """
    origin = headers.get("origin")
    if api_key is not None or origin is None:
        return None
    scheme, _, host = origin.partition("://")
    if (host and scheme.lower() not in {"http", "https"}) or origin == "file://" or _is_page_of_this_machine(host):
        return None
    whose = "this one does not say whose it is" if origin == "null" else f"this one is of {origin!r}"
    return foreign_page(
        f"Without an API key no web page but one of this machine may use this server, and {whose}. "
        "To allow it, start the server with CODEX_OPENAI_PROXY_API_KEY set and give the page that key."
    )


def client_of(scope: Mapping[str, Any]) -> str:
    """Return what tells one client from another, to be fair between them: where it is, its key, its name."""
    headers = dict(scope.get("headers", ()))
    sent = [headers.get(name, b"").decode("latin-1") for name in (b"authorization", b"api-key", b"user-agent")]
    return "\n".join([(scope.get("client") or ("",))[0], *sent])


def _is_page_of_this_machine(host: str) -> bool:
    return _names_this_machine(host) or _name(host) in {"0.0.0.0", "::"}  # noqa: S104 - where servers say they listen


def _names_this_machine(host: str) -> bool:
    """Of IPv6 only ::1: under an IPv4 address in IPv6 a browser says of no request where it comes from."""
    name = _name(host)
    return name == "localhost" or name.endswith(".localhost") or (_is_loopback(name) and "::ffff:" not in name)


def _name(host: str) -> str:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return name.removeprefix("[").removesuffix("]").lower().removesuffix(".")


def _sent_key(headers: Mapping[str, str]) -> str | None:
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
