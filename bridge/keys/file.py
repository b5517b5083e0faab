"""The TOML file of named keys: it contains no key itself, and only its owner may read it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bridge.keys.key import MOST_TOKENS, NamedKey, check_name
from bridge.settings.key_file import read_private

OWN_KEY = "api-key"
"""The file beside it with the server's own key, for a server whose settings contain none."""

HEAD = """\
# Written as a whole by `codex-openai-proxy keys`, which does not keep comments. The named keys, as salted hashes.
# A running server reads this file again when it changes. As long as it exists, every request needs a key.
"""

REMEDY = "correct the line, or delete the file and add the keys again with `codex-openai-proxy keys add`"

_FIELD = re.compile(r"unknown field `(\w+)`|\$\.(\w+)")
"""A field in an error message of msgspec."""


class KeysError(Exception):
    """The keys cannot be read or changed; the message says why, and what to do."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of one key, whose name is the name of the table; salt and hash are hexadecimal."""

    id: Annotated[str, Meta(min_length=1)]
    salt: str
    hash: str
    created: datetime
    expires: datetime | None = None
    tokens_per_day: Annotated[int, Meta(ge=1, le=MOST_TOKENS)] | None = None
    models: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()

    def key(self, name: str) -> NamedKey:
        """Return the key; ValueError if a value is invalid."""
        check_name(name)
        if self.created.tzinfo is None or (self.expires is not None and self.expires.tzinfo is None):
            raise ValueError("a time needs a time zone; end it with Z")
        return NamedKey(
            name=name,
            id=self.id,
            salt=bytes.fromhex(self.salt),
            hash=bytes.fromhex(self.hash),
            created=self.created,
            expires=self.expires,
            tokens_per_day=self.tokens_per_day,
            models=self.models,
            agents=self.agents,
        )


def read_keys(path: Path) -> dict[str, NamedKey]:
    """Return the keys by name; there are none if the file does not exist.

    Raises:
        KeysError: the file cannot be read, has something else in it, or other users may access it.
    """
    if not path.exists():
        return {}
    try:
        text = read_private(path)
    except ValueError as error:
        raise KeysError(f"the keys cannot be used: {error}") from None
    try:
        tables = tomllib.loads(text)
    except ValueError as error:  # its text has the line, except at the end
        reason = str(error).replace("at end of document", f"at the end, line {len(text.splitlines())}")
        raise KeysError(f"the keys in {path} cannot be read: {reason}; {REMEDY}") from None
    return {name: _read(path, text, name, table) for name, table in tables.items()}


def _read(path: Path, text: str, name: str, table: Any) -> NamedKey:
    try:
        return msgspec.convert(table, _Table).key(name)
    except ValueError as error:
        found = _FIELD.search(str(error))
        line = _line_of(text, name, (found[1] or found[2]) if found else None)
        raise KeysError(f"the key {name!r} in {path}, line {line}, cannot be read: {error}; {REMEDY}") from None


def _line_of(text: str, name: str, field: str | None) -> int:
    """Return the line of a field in the table of a key, or of the table itself; the first line is 1."""
    lines = text.splitlines()
    head = re.compile(rf"\s*(\[\s*)?[\"']?{re.escape(name)}[\"']?\s*[\]=]")
    start = next((number for number, line in enumerate(lines) if head.match(line)), 0)
    for number, line in enumerate(lines[start + 1 :], start + 1):
        if line.lstrip().startswith("["):
            break
        if field is not None and re.match(rf"\s*[\"']?{field}[\"']?\s*=", line):
            return number + 1
    return start + 1


def as_toml(keys: Mapping[str, NamedKey]) -> str:
    """Return the text of the file with these keys."""
    return HEAD + "".join(_as_table(key) for key in keys.values())


def _as_table(key: NamedKey) -> str:
    values: dict[str, Any] = msgspec.structs.asdict(key)
    del values["name"]
    lines = [f"{name} = {_value(value)}\n" for name, value in values.items() if value not in (None, ())]
    return f"\n[{key.name}]\n" + "".join(lines)


def _value(value: Any) -> str:
    """Return a value in TOML, which writes texts, lists and numbers as JSON does."""
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case bytes():
            return json.dumps(value.hex())
        case _:
            return json.dumps(value, ensure_ascii=False)
