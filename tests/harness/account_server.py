"""The servers of a ChatGPT login, on loopback: device codes, tokens, the account and its quota.

The real codex logs in here when CODEX_APP_SERVER_LOGIN_ISSUER and `chatgpt_base_url` point here. Its tokens
are made up.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CLAIMS = "https://api.openai.com/auth"
FAR = 2_100_000_000
"""A time of expiry and reset far in the future, in epoch seconds."""


@dataclass
class AccountServer:
    """The running server; `approve` finishes the login as the user would."""

    port: int = 0
    email: str = "ada@example.com"
    plan: str = "plus"
    used: tuple[int, int] = (42, 17)
    """Used percent of the five-hour and the weekly limit."""
    resets: tuple[int, int] = (FAR, FAR)
    """When these limits reset, in epoch seconds."""
    daily_tokens: dict[str, int] = field(default_factory=dict[str, int])
    """The tokens of the account on each day, of all its clients."""
    refuse_codes: bool = False
    approved: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def approve(self) -> None:
        """Finish the login, as if the user had typed the code."""
        self.approved.set()

    def write_config(self, home: Path) -> None:
        """Point the codex of this home to this server for everything about the account."""
        config = home / "config.toml"
        old = config.read_text() if config.exists() else ""
        config.write_text(f'chatgpt_base_url = "{self.url}/backend-api"\n{old}')

    def log_in(self, home: Path) -> None:
        """Write the files that codex writes at a login."""
        tokens = {**self._tokens(), "account_id": "account-1"}
        written = {
            "auth_mode": "chatgpt",
            "OPENAI_API_KEY": None,
            "tokens": tokens,
            "last_refresh": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        (home / "auth.json").write_text(json.dumps(written))

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the answer for a path."""
        match path.rpartition("/")[2]:
            case "usercode" if self.refuse_codes:
                return 403, {"error": "device codes are off"}
            case "usercode":
                self.asked.set()
                return 200, {"device_auth_id": "device-1", "user_code": "ABCD-1234", "interval": "1"}
            case "token" if "deviceauth" in path:
                if not self.approved.is_set():
                    return 403, {"error": "pending"}
                return 200, {"authorization_code": "code-1", "code_challenge": "c", "code_verifier": "v"}
            case "token":
                return 200, self._tokens()
            case "check":
                return 200, {"accounts": [self._account()], "account_ordering": ["account-1"]}
            case "usage":
                return 200, {"plan_type": self.plan, "rate_limit": self._rate_limit()}
            case "me" if "profiles" in path:
                buckets = [{"start_date": day, "tokens": tokens} for day, tokens in self.daily_tokens.items()]
                return 200, {"stats": {"lifetime_tokens": 0, "daily_usage_buckets": buckets}}
            case _:
                return 404, {}

    def _tokens(self) -> dict[str, Any]:
        about = {"chatgpt_plan_type": self.plan, "chatgpt_account_id": "account-1", "chatgpt_user_id": "user-1"}
        token = _unsigned({"email": self.email, "exp": FAR, CLAIMS: about})
        return {"id_token": token, "access_token": token, "refresh_token": "refresh-1"}

    def _account(self) -> dict[str, Any]:
        # codex accepts only HTTPS origins; turns on the scripted upstream do not use it.
        return {
            "id": "account-1",
            "name": "Ada",
            "plan_type": self.plan,
            "workspace_backend_origin": "https://chatgpt.com",
            "account_routing_override": "NO_CONSTRAINT",
            "profile_picture_url": None,
            "structure": "personal",
        }

    def _rate_limit(self) -> dict[str, Any]:
        return {
            "allowed": True,
            "limit_reached": max(self.used) >= 100,
            "primary_window": _window(self.used[0], 5 * 3600, self.resets[0]),
            "secondary_window": _window(self.used[1], 7 * 86400, self.resets[1]),
        }


def _window(used: int, length: int, reset: int) -> dict[str, Any]:
    return {"used_percent": used, "limit_window_seconds": length, "reset_after_seconds": length, "reset_at": reset}


def _unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none"}, claims, "signature")
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


@contextmanager
def account_server() -> Generator[AccountServer]:
    """Run an `AccountServer` on a free loopback port, in a thread, while the block runs."""
    server = AccountServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, body = server.answer(self.path.partition("?")[0])
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - the name that the library calls

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own signature
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
