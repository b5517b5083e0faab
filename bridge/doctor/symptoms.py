"""The meaning and fix of status codes and messages that a user sees between client and server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

from bridge.doctor.findings import Finding, fail, warn

START = "codex-openai-proxy serve"
LOG_IN = "codex-openai-proxy login"


class Symptom(Struct, frozen=True):
    """A message that a user sees, its cause, and what to do."""

    message: str
    means: str
    fix: str


SYMPTOMS = (
    Symptom(
        "Connection failed",
        "Cursor's servers did not reach the base URL: the tunnel does not run, its address has changed (a quick tunnel "
        "gets a new one at each start), or the URL is http:// or a local address.",
        "run `codex-openai-proxy doctor --url URL` with the URL as entered in Cursor",
    ),
    Symptom(
        "Unauthorized User API key",
        "The key in Cursor is not the server's (401).",
        "paste the key that `codex-openai-proxy tunnel --show` prints into Cursor's field `OpenAI API Key`",
    ),
    Symptom(
        "Invalid API key",
        "Newer versions of Cursor (3.18) show this for the same.",
        "paste the key that `codex-openai-proxy tunnel --show` prints into Cursor's field `OpenAI API Key`",
    ),
    Symptom(
        "User API Key Rate limit exceeded",
        "Cursor shows this for every 429 and 5xx, whatever the reason.",
        "run `codex-openai-proxy doctor`; it shows the real reason",
    ),
    Symptom(
        "401",
        "The API key is missing or wrong, or Codex is not logged in; the code of the error says which.",
        f"send the server's key as `Authorization: Bearer KEY`; for codex_not_logged_in run `{LOG_IN}`",
    ),
    Symptom(
        "403",
        "With the code foreign_page: the request comes from a web page of another host, and the server has no API key. "
        "Otherwise something before the server refuses it: Cloudflare Access, a firewall rule or your zone's Bot Fight "
        "Mode.",
        "for foreign_page set CODEX_OPENAI_PROXY_API_KEY and give the page that key; otherwise exempt the tunnel's "
        "hostname from Access applications and bot rules",
    ),
    Symptom(
        "404",
        "The request did not reach the server's routes: the tunnel's ingress knows no such hostname, or the base URL "
        "has a wrong path.",
        "enter the base URL as https://HOST without a path; compare HOST with the tunnel's configuration",
    ),
    Symptom(
        "429",
        "usage_limit_reached: the plan's quota is used up; the message says until when. rate_limit_exceeded or "
        "too_many_requests: too many requests at once.",
        "wait until the reset that `codex-openai-proxy status` shows, or use another model; otherwise send fewer "
        "requests at once",
    ),
    Symptom(
        "502",
        "From Cloudflare: the tunnel is connected but the server does not answer. With the code upstream_error: "
        "Codex or OpenAI failed.",
        f"start the server (`{START}`) on the port of the tunnel's configuration; for upstream_error try again",
    ),
    Symptom(
        "503",
        "Codex is starting, restarting or overloaded, or the server is stopping; `Retry-After` says when to try again.",
        "try again in a moment; if it persists, `codex-openai-proxy doctor` says why Codex does not start",
    ),
    Symptom(
        "524",
        "Cloudflare cut an answer that was silent for about 100 seconds; the server's keep-alive comments did not get "
        "through.",
        "check whether a proxy in between buffers: `codex-openai-proxy doctor --url URL --long`",
    ),
    Symptom(
        "530",
        "Error 1033: the hostname belongs to a tunnel that is not connected.",
        "start it: `codex-openai-proxy serve --tunnel HOSTNAME`; its log must say `Registered tunnel connection`",
    ),
    Symptom(
        "521",
        "521, 522 and 523: the hostname's DNS record leads to a server instead of a tunnel.",
        "set the tunnel up again: `codex-openai-proxy tunnel --hostname HOSTNAME --setup`",
    ),
)
"""All symptoms; docs/troubleshooting.md shows every row."""

_ALIASES = {"504": "524", "522": "521", "523": "521", "1033": "530"}
_BY_CODE = {
    "invalid_api_key": fail(
        "the server refuses the key (401)", "pass the server's key: --api-key-file FILE or CODEX_OPENAI_PROXY_API_KEY"
    ),
    "codex_not_logged_in": fail("Codex is not logged in (401)", LOG_IN),
    "upstream_error": fail("Codex or OpenAI failed (502)", "try again; the server's log says more"),
    "codex_unavailable": fail("Codex is not running (503)", "the check `codex`, or the server's log, says why"),
    "upstream_timeout": fail("the model sent nothing in time (504)", "try again, with a smaller effort or model"),
}


def lookup(text: str) -> list[Symptom]:
    """Return the symptoms that match a status code or a message, e.g. `502` or `Connection failed`."""
    wanted = _ALIASES.get(text.strip(), text.strip()).casefold()
    return [
        it
        for it in SYMPTOMS
        if wanted == it.message.casefold() or (len(wanted) > 3 and wanted in it.message.casefold())
    ]


def explain_refusal(status: int, body: bytes) -> Finding:
    """Return the meaning of an error answer, which may come from this server or from a proxy in between."""
    error = _our_error(body)
    code, message = str(error.get("code")), str(error.get("message") or "")
    if code == "usage_limit_reached":
        return fail(f"the plan's quota is used up (429): {message}", "wait for the reset, or use another model")
    if status == 429:
        return warn(
            f"too many requests at once (429): {message}".rstrip(": "), "send fewer at once, or try again in a moment"
        )
    if code in _BY_CODE:
        return _BY_CODE[code]
    if error:
        return fail(f"status {status}: {message}", "see docs/errors.md for the code " + code)
    found = lookup(str(status))
    if not found:
        return fail(f"status {status} does not come from this server", "find out which program listens there")
    cloudflare = re.search(rb"error code: (\d+)", body)
    detail = f", Cloudflare's error {cloudflare[1].decode()}" if cloudflare else ""
    return fail(f"status {status}{detail}. {found[0].means}", found[0].fix)


def _our_error(body: bytes) -> Mapping[str, Any]:
    try:
        whole: object = json.loads(body)
    except ValueError:
        return {}
    error: object = cast("dict[str, Any]", whole).get("error") if isinstance(whole, dict) else None
    return cast("dict[str, Any]", error) if isinstance(error, dict) and "code" in error else {}
