"""Who may use the server: whoever has the key, or, where no key is set, whoever is on this machine."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

from bridge.errors import ApiError, invalid_api_key


def check_access(peer: str | None, headers: Mapping[str, str], api_key: str | None) -> ApiError | None:
    """Return why a request is refused, or None.

    `peer` is an IP address, None for a Unix socket; header names are lower case. Keys are compared
    in constant time.
    """
    if api_key is None:
        if peer is None or _is_loopback(peer):
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


def _sent_key(headers: Mapping[str, str]) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials:
        return credentials.strip()
    return headers.get("api-key")


def _is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
