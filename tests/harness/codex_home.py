"""Writes a CODEX_HOME whose codex talks to the scripted upstream, over HTTP or WebSocket."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias

from codex_rpc.process.process import find_codex

Transport: TypeAlias = Literal["http", "websocket"]

_PROVIDER = """
[model_providers.scripted]
name = "scripted"
base_url = "{base_url}"
wire_api = "responses"
env_key = "SCRIPTED_KEY"
request_max_retries = 0
stream_max_retries = {stream_retries}
"""


def write_home(
    home: Path,
    base_url: str,
    transport: Transport = "http",
    *,
    config: str = "",
    tables: str = "",
    logged_in: bool = True,
    stream_retries: int = 0,
) -> None:
    """Fill `home`: a custom provider over HTTP needs no login; the built-in one speaks WebSocket and needs a key.

    `config` holds top-level TOML keys, `tables` further TOML tables.
    """
    home.mkdir(parents=True, exist_ok=True)
    if transport == "http":
        text = f'model_provider = "scripted"\n{config}\n'
        text += _PROVIDER.format(base_url=base_url, stream_retries=stream_retries) + tables
    else:
        text = f'openai_base_url = "{base_url}"\n{config}\n{tables}'
        if logged_in:
            log_in(home)
    tomllib.loads(text)
    (home / "config.toml").write_text(text)


def log_in(home: Path) -> None:
    """Write the credentials of a made-up API key."""
    auth = {"auth_mode": "apikey", "OPENAI_API_KEY": "sk-test", "tokens": None, "last_refresh": None}
    (home / "auth.json").write_text(json.dumps(auth))


def make_databases(home: Path) -> None:
    """Let codex make its databases in an empty home, and no rows in them: it ends at once."""
    codex = find_codex(os.environ.get("CODEX_UNDER_TEST"))
    env = {**os.environ, "CODEX_HOME": str(home)}
    subprocess.run([codex, "app-server"], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    for path in home.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a single file is then the whole database


def copy_databases(home: Path, other: Path) -> None:
    """Copy the databases of a home that no codex uses into another one."""
    other.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in home.glob("*.sqlite"):
        shutil.copy(path, other)
