"""What a status or a message of somebody between client and server means, and what mends it."""

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
    """What a person sees, why, and what to do."""

    seen: str
    means: str
    fix: str


SYMPTOMS = (
    Symptom(
        "Connection failed",
        "Cursor's servers did not reach the base URL: the tunnel does not run, its address has changed (a quick tunnel "
        "gets a new one at each start), or the URL is http:// or of this machine.",
        "run `codex-openai-proxy doctor --url URL` with the URL as it stands in Cursor",
    ),
    Symptom(
        "Unauthorized User API key",
        "The key in Cursor is not the server's (401).",
        "paste the key that `codex-openai-proxy tunnel --show` prints into Cursor's field `OpenAI API Key`",
    ),
    Symptom(
        "User API Key Rate limit exceeded",
        "Cursor's words for every 429 and 5xx, whatever the reason.",
        "run `codex-openai-proxy doctor`; it shows the true one",
    ),
    Symptom(
        "401",
        "The API key is missing or wrong, or Codex is not logged in; the code of the error says which.",
        f"send the server's key as `Authorization: Bearer KEY`; for codex_not_logged_in run `{LOG_IN}`",
    ),
    Symptom(
        "403",
        "With the code foreign_page: a web page of another machine asks, and the server has no API key. Else something "
        "before the server refuses: Cloudflare Access, a firewall rule or Bot Fight Mode of your zone.",
        "for foreign_page set CODEX_OPENAI_PROXY_API_KEY and give the page that key; else let the hostname of the "
        "tunnel through: no Access application, no bot rule for it",
    ),
    Symptom(
        "404",
        "The request did not reach the server's routes: the tunnel's ingress knows no such hostname, or the base URL "
        "has too much behind it.",
        "give the base URL as https://HOST and nothing behind it; compare HOST with the tunnel's configuration",
    ),
    Symptom(
        "429",
        "usage_limit_reached: the plan's quota is used up, the message says until when. rate_limit_exceeded or "
        "too_many_requests: too much at once.",
        "wait until the reset that `codex-openai-proxy status` shows, or take another model; else send less at once",
    ),
    Symptom(
        "502",
        "From Cloudflare: the tunnel stands but the server does not answer behind it. With the code upstream_error: "
        "Codex or OpenAI failed.",
        f"start the server (`{START}`) on the port of the tunnel's configuration; for upstream_error try again",
    ),
    Symptom(
        "503",
        "Codex is starting, restarting or overloaded, or the server is stopping; `Retry-After` says when to come back.",
        "try again in a moment; if it stays, `codex-openai-proxy doctor` names what keeps Codex from starting",
    ),
    Symptom(
        "524",
        "Cloudflare cut an answer that was silent for about 100 seconds; the server's keep-alive comments did not come "
        "through.",
        "see whether something buffers in between: `codex-openai-proxy doctor --url URL --long`",
    ),
    Symptom(
        "530",
        "Error 1033: the hostname belongs to a tunnel that is not connected.",
        "start it: `codex-openai-proxy serve --tunnel HOSTNAME`; its log must say `Registered tunnel connection`",
    ),
    Symptom(
        "521",
        "521, 522 and 523: the hostname's DNS record leads to a server and not to a tunnel.",
        "set the tunnel up again: `codex-openai-proxy tunnel --hostname HOSTNAME --setup`",
    ),
)
"""The trouble-shooting list; docs/troubleshooting.md shows every row."""

_ALIASES = {"504": "524", "522": "521", "523": "521", "1033": "530"}
_BY_CODE = {
    "invalid_api_key": fail(
        "the server refuses the key (401)", "pass the server's key: --api-key-file FILE or CODEX_OPENAI_PROXY_API_KEY"
    ),
    "codex_not_logged_in": fail("Codex is not logged in (401)", LOG_IN),
    "upstream_error": fail("Codex or OpenAI failed (502)", "try again; the log of the server says more"),
    "codex_unavailable": fail("Codex is not running (503)", "the check `codex`, or the log of the server, says why"),
    "upstream_timeout": fail("the model sent nothing in time (504)", "try again, with a smaller effort or model"),
}


def lookup(text: str) -> list[Symptom]:
    """Return what is known about a status or a message, e.g. `502` or `Connection failed`."""
    wanted = _ALIASES.get(text.strip(), text.strip()).casefold()
    return [it for it in SYMPTOMS if wanted == it.seen.casefold() or (len(wanted) > 3 and wanted in it.seen.casefold())]


def explain_refusal(status: int, body: bytes) -> Finding:
    """Say what an answer that is no success means; our own errors are told apart from those of whoever is between."""
    error = _our_error(body)
    code, message = str(error.get("code")), str(error.get("message") or "")
    if code == "usage_limit_reached":
        return fail(f"the plan's quota is used up (429): {message}", "wait for the reset, or take another model")
    if status == 429:
        return warn(f"too much at once (429): {message}".rstrip(": "), "send less at once, or try again in a moment")
    if code in _BY_CODE:
        return _BY_CODE[code]
    if error:
        return fail(f"status {status}: {message}", "see docs/errors.md for the code " + code)
    found = lookup(str(status))
    if not found:
        return fail(f"status {status} comes from something that is not this server", "see who listens there")
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
