"""Removes identities and credentials from recordings: tokens, keys, e-mails, account ids, home paths.

1. A value with the name of a secret is redacted whatever its form: as a JSON member, or as `name: value` in a text.
2. A text with the form of a secret is redacted everywhere.
3. A value that once had the name of a secret is redacted everywhere from then on.
4. Equal values become equal placeholders, and placeholders are not changed: redacting twice changes nothing, and a
   redacted request equals a recorded one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, cast

_NAMES = {
    "account_id": "account-id",
    "account_user_id": "account-id",
    "chatgpt_account_id": "account-id",
    "chatgpt_user_id": "account-id",
    "user_id": "account-id",
    "workspace_id": "account-id",
    "organization_id": "account-id",
    "installation_id": "installation-id",
    "email": "email",
    "access_token": "token",
    "id_token": "token",
    "refresh_token": "token",
    "session_token": "token",
    "bearer_token": "token",
    "client_secret": "token",
    "secret": "token",
    "password": "token",
    "token": "token",
    "authorization": "token",
    "api_key": "api-key",
    "apikey": "api-key",
    "openai_api_key": "api-key",
}
"""Names of secrets in snake case → placeholder for their values, without brackets."""

_IDENTITY_FIELDS = frozenset({"user", "safety_identifier"})
"""Fields of a request that identify its user."""

_BEARER = re.compile(r"(?i)^bearer\s+")
_TELLING = re.compile(r"[0-9@]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-\s]")
_NAME = "|".join(sorted((name.replace("_", r"[_\-]?") for name in _NAMES), key=len, reverse=True))
_NAMED = re.compile(
    rf"""(?i)(?<![a-z0-9])({_NAME})((?:\\*["'])?\s*[:=]\s*(?:\\*["'])?(?:bearer\s+)?)((?=[^\s"'\\,;&<>{{}}()\[\]]*\d)[^\s"'\\,;&<>{{}}()\[\]]{{8,}})"""
)

_PATTERNS = (
    ("token", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]+)*")),
    ("token", re.compile(r"(?i)(?<=\bbearer )[A-Za-z0-9._~+/-]{8,}=*")),
    ("token", re.compile(r"\b(?:rt|at|sess|oaistb_rt)[_-][A-Za-z0-9_.-]{16,}")),
    ("token", re.compile(r"\b(?:gh[opsur]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,})")),
    ("api-key", re.compile(r"\b(?:sk|rk|pk)-[A-Za-z0-9_-]{8,}")),
    ("api-key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}")),
    ("account-id", re.compile(r"\b(?:org|user|acct|account|proj)[-_](?=[A-Za-z]*\d)[A-Za-z0-9]{12,}\b")),
    ("email", re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")),
)
_HOMES = re.compile(r"((?:/home/|/Users/|/var/home/|[A-Za-z]:\\+Users\\+|[A-Za-z]:/Users/))([^/\\\s\"'<>:|?*]+)")
_LONG_ENOUGH = 8
"""Characters. Values with the name of a secret are not searched elsewhere if shorter, or without a digit or an @."""

Span: TypeAlias = tuple[int, int, str]
"""Start and end of a secret in a text, and its placeholder."""


class Redactor:
    """Redacts texts and JSON values, and remembers values with the name of a secret.

    `secrets` are known values; `home` and `user` are the home directory and the name of the recording user.
    """

    def __init__(self, secrets: Iterable[str] = (), home: str = "", user: str = "") -> None:
        self._learned = {secret: "<api-key>" for secret in secrets if len(secret) >= _LONG_ENOUGH}
        home = home.rstrip("/\\")
        self._home = re.compile(rf"(?<![\w/]){re.escape(home)}(?![\w-])") if home else None
        self._segment = re.compile(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|$)") if user else None

    def learn(self, value: object) -> None:
        """Remember every value in the JSON value that has the name of a secret; nothing is changed."""
        match value:
            case dict():
                for name, inner in cast("dict[str, object]", value).items():
                    if (kind := _kind(name)) and isinstance(inner, str):
                        self._note(inner, kind)
                    self.learn(inner)
            case list():
                for inner in cast("list[object]", value):
                    self.learn(inner)
            case str():
                for found in _NAMED.finditer(value):
                    self._note(found[3], _kind(found[1]) or "token")
            case _:
                pass

    def json(self, value: Any) -> Any:
        """Return the JSON value without secrets; the names of members are redacted like texts."""
        self.learn(value)
        return self._json(value)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        self.learn(text)
        return self._text(text)

    def pieces(self, pieces: Sequence[str]) -> list[str]:
        """Redact a text in pieces, also secrets that span several pieces; return the same number of pieces.

        A placeholder is in the piece in which its secret begins.
        """
        whole = "".join(pieces)
        self.learn(whole)
        spans = self._spans(whole)
        out: list[str] = []
        start = 0
        for piece in pieces:
            end = start + len(piece)
            out.append(_without(whole, spans, start, end))
            start = end
        return out

    def _note(self, value: str, kind: str) -> None:
        value = _BEARER.sub("", value)
        if len(value) >= _LONG_ENOUGH and _TELLING.search(value):
            self._learned.setdefault(value, f"<{kind}>")

    def _json(self, value: Any, name: str = "") -> Any:
        match value:
            case dict():
                members = cast("dict[str, Any]", value).items()
                return {self._text(member): self._json(inner, member) for member, inner in members}
            case list():
                return [self._json(inner) for inner in cast("list[Any]", value)]
            case str() if value and (kind := _kind(name)):
                return f"<{kind}>"
            case str() if value and name in _IDENTITY_FIELDS:
                return "<user>"
            case str():
                return self._text(value)
            case _:
                return value

    def _text(self, text: str) -> str:
        return _without(text, self._spans(text), 0, len(text))

    def _spans(self, text: str) -> list[Span]:
        """Return the spans of all secrets in order; overlapping ones are merged."""
        found: list[Span] = []
        for secret, placeholder in tuple(self._learned.items()):  # another thread may be learning
            at = -1
            while (at := text.find(secret, at + 1)) >= 0:
                found.append((at, at + len(secret), placeholder))
        found += [(*named.span(3), f"<{_kind(named[1])}>") for named in _NAMED.finditer(text)]
        found += [(*like.span(), f"<{kind}>") for kind, pattern in _PATTERNS for like in pattern.finditer(text)]
        if self._home is not None:
            found += [(*home.span(), "/home/user") for home in self._home.finditer(text)]
        found += [(*home.span(2), "user") for home in _HOMES.finditer(text)]
        if self._segment is not None:
            found += [(*segment.span(), "user") for segment in self._segment.finditer(text)]
        spans: list[Span] = []
        for start, end, placeholder in sorted(found, key=lambda span: (span[0], -span[1])):
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]), spans[-1][2])
            else:
                spans.append((start, end, placeholder))
        return spans


def _without(text: str, spans: Iterable[Span], start: int, end: int) -> str:
    """Return the part of the text from `start` to `end`, with placeholders for the secrets that begin in it."""
    parts: list[str] = []
    for first, last, placeholder in spans:
        if last <= start or first >= end:
            continue
        parts.append(text[start : max(first, start)])
        if first >= start:
            parts.append(placeholder)
        start = min(last, end)
    return "".join([*parts, text[start:end]])


def _kind(name: str) -> str | None:
    snake = _CAMEL.sub("_", name).lower()
    return _NAMES.get(snake) or _NAMES.get(snake.replace("_", ""))
