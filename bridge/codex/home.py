"""The CODEX_HOME of chat mode: a private one with only the user's login and connection.

Codex reads its home again for every thread, so any file in it can reach the model at any time.
docs/decisions/0002-private-codex-home.md has the reasons and the figures.
"""

from __future__ import annotations

import os
import secrets
import sys
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from bridge.codex.config import Config, connection_config, keeps_login_in_keyring, provider_variables, to_toml

CONFIG = "config.toml"
CREDENTIALS = "auth.json"
LINKED = (CREDENTIALS, ".env")
"""The login, and the environment variables that codex loads, such as a provider's key. This server never opens them.

They are linked even if they do not exist: a login through the link is written into the user's home.
"""

INSTRUCTIONS = "AGENTS*.md"
"""Files in its home that codex shows to the model whatever its settings."""

MANAGED_CONFIG = Path("/etc/codex/managed_config.toml")
"""The administrator's configuration that overrides the user's and the command line."""

SYSTEM_CONFIG = (
    Path(os.environ.get("PROGRAMDATA", "C:/ProgramData")) / "OpenAI/Codex/config.toml"
    if sys.platform == "win32"
    else Path("/etc/codex/config.toml")
)
"""The administrator's configuration that the user's overrides."""

_PASSED = frozenset(
    {
        "CODEX_ACCESS_TOKEN",
        "CODEX_AGENT_IDENTITY_AUTHAPI_BASE_URL",
        "CODEX_AGENT_IDENTITY_JWKS_BASE_URL",
        "CODEX_API_KEY",
        "CODEX_APP_SERVER_CHATGPT_BASE_URL",
        "CODEX_APP_SERVER_LOGIN_CLIENT_ID",
        "CODEX_APP_SERVER_LOGIN_ISSUER",
        "CODEX_AUTHAPI_BASE_URL",
        "CODEX_CA_CERTIFICATE",
        "CODEX_OSS_BASE_URL",
        "CODEX_OSS_PORT",
        "CODEX_REFRESH_TOKEN_URL_OVERRIDE",
        "CODEX_REVOKE_TOKEN_URL_OVERRIDE",
    }
)
"""Codex's variables for its address and identity; its other variables would change its behaviour."""


class CodexHome(Struct, frozen=True):
    """The home in which codex runs, and the configuration that applies there."""

    path: Path
    """The value for CODEX_HOME."""
    private: Path
    """The private home, which is complete even if codex cannot use it."""
    foreign: tuple[Config, ...] = ()
    """The configuration that codex reads in addition to that of the private home, the strongest first."""
    variables: frozenset[str] = frozenset()
    """The environment variables that the user's provider reads."""
    obstacle: str = ""
    """Why the home cannot be private; empty if it is."""

    def instructions(self) -> list[str]:
        """Return the names of the files whose text codex adds to the model's input."""
        return sorted(path.name for path in self.path.glob(INSTRUCTIONS)) if self.obstacle else []


def real_home(environ: Mapping[str, str]) -> Path:
    """Return the home of the user's own codex."""
    return Path(environ.get("CODEX_HOME") or Path.home() / ".codex").absolute()


def child_environment(
    environ: Mapping[str, str], home: Path, variables: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return the environment of a codex child in `home`: the user's, without variables that change codex's behaviour.

    `variables` are always passed on. The user's default home is not named: codex creates a missing default home, but
    refuses a missing home that is named.
    """
    keep = _PASSED | variables
    passed = {
        name: value
        for name, value in environ.items()
        # RUST_LOG makes codex write prompts to its log.
        if name in keep or not (name.startswith("CODEX_") or name == "RUST_LOG")
    }
    named = environ.get("CODEX_HOME") or home != real_home(environ)
    return {**passed, "CODEX_HOME": str(home)} if named else passed


def file_stamp(path: Path) -> object:
    """Return a value that changes whenever the file is written, such as by a login; the file is not opened."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def prepare_home(real: Path, private: Path) -> CodexHome:
    """Write the missing or outdated files in `private`, and return the home for codex.

    Each file is replaced atomically, because another server may use the same home.

    Raises:
        OSError: the home cannot be written.
        ValueError: a config.toml cannot be read; the message names it.
    """
    managed, user, system = map(read_config, (MANAGED_CONFIG, real / CONFIG, SYSTEM_CONFIG))
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_privately(private / CONFIG, _config_text(user, real))
    obstacle = ""
    if keeps_login_in_keyring((managed, user, system), has_file=(real / CREDENTIALS).exists()):
        obstacle = "the login is in the system's keyring, where codex finds it only for this home"
    try:
        for name in LINKED:
            _link(real / name, private / name)
    except OSError as error:
        obstacle = obstacle or f"its login cannot be linked into another home: {error}"
    foreign = (managed, user, system) if obstacle else (managed, system)
    return CodexHome(real if obstacle else private, private, foreign, provider_variables(user), obstacle)


def read_config(path: Path) -> Config:
    """Return the content of a config.toml; {} if there is none.

    Raises:
        ValueError: the file is not valid TOML; the message names it.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error


def _config_text(user: Config, real: Path) -> bytes:
    def absolute(path: str) -> str:
        return path if path.startswith("~") else str(real / path)

    lines = [f"{to_toml(key)} = {to_toml(value)}" for key, value in connection_config(user, absolute).items()]
    text = "\n".join((f"# Made from {real / CONFIG} at each start of codex; changes belong there.", *lines, ""))
    return text.encode()


def _link(target: Path, link: Path) -> None:
    """Link to `target`, which need not exist.

    Symbolic links need special rights on Windows; without them, an existing file is hard-linked.
    """
    if link.is_symlink() and link.readlink() == target:
        return
    try:
        _replace(link, lambda path: path.symlink_to(target))
    except OSError:
        if target.exists():
            _replace(link, lambda path: path.hardlink_to(target))
        else:
            link.unlink(missing_ok=True)


def write_privately(path: Path, content: bytes) -> None:
    """Atomically write a file that only its owner may read, unless it has this content already.

    Raises:
        OSError: the file cannot be written.
    """

    def make(new: Path) -> None:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)

    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    _replace(path, make)


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        make(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
