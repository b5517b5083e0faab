from __future__ import annotations

import gc
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from bridge import __version__
from bridge.cli import COMMANDS, load, main, serving
from bridge.config import Settings
from bridge.http.listeners import Connections, Listeners
from bridge.serve import Beside
from bridge.settings import sources as setting_options
from bridge.settings.server import KEYS_FILE, STORE_FILE
from codex_rpc.errors import CodexNotFoundError

TLS = Path(__file__).parents[2] / "harness" / "tls"
PREFIX = "CODEX_OPENAI_PROXY_"
DEFAULTS = {
    "addr": (":11435", "default"),
    "certfile": ("-", "default"),
    "keyfile": ("-", "default"),
    "codex": ("-", "default"),
    "codex_ca_file": ("-", "default"),
    "codex_unchecked": ("False", "default"),
    "tunnel": ("-", "default"),
    "cloudflared": ("-", "default"),
    "api_key": ("-", "default"),
    "api_key_file": ("-", "default"),
    "keys_file": ("-", "default"),
    "allow_origin": ("-", "default"),
    "max_body": ("67108864", "default"),
    "start_patience": ("10.0", "default"),
    "head_patience": ("4.0", "default"),
    "keep_alive": ("8.0", "default"),
    "idle_timeout": ("600.0", "default"),
    "reasoning": ("off", "default"),
    "model_names": ("both", "default"),
    "aliases": ("-", "default"),
    "threads": ("64", "default"),
    "spares": ("2", "default"),
    "thread_age": ("1800.0", "default"),
    "store": ("-", "default"),
    "store_size": ("268435456", "default"),
    "store_age": ("2592000.0", "default"),
    "usage_age": ("34560000.0", "default"),
    "answers": ("200", "default"),
    "queue_patience": ("30.0", "default"),
    "no_websocket": ("False", "default"),
    "grace": ("5.0", "default"),
    "record": ("-", "default"),
    "replay": ("-", "default"),
    "pace": ("1", "default"),
    "demo": ("False", "default"),
    "agents": ("-", "default"),
    "agent_write": ("-", "default"),
    "agent_public": ("False", "default"),
    "agent_activity": ("reasoning_content", "default"),
    "agent_time": ("3600.0", "default"),
    "agent_idle": ("600.0", "default"),
    "log_level": ("info", "default"),
    "log_format": ("human", "default"),
    "log_requests": ("False", "default"),
}


def flag_of(name: str) -> str:
    """Return the flag of a setting; that of the agents names one of them."""
    return "--agent" if name == "agents" else f"--{name.replace('_', '-')}"


@pytest.fixture(autouse=True)
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default path of the TOML file, which does not exist yet; no settings are in the environment."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    path = tmp_path / "config.toml"
    monkeypatch.setattr(setting_options, "CONFIG_FILE", path)
    return path


@pytest.fixture(autouse=True)
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of each server start; no server really starts."""
    settings_of_starts: list[Settings] = []

    async def start(
        settings: Settings, listeners: Listeners, announce: Callable[[], None], beside: tuple[Beside, ...] = ()
    ) -> None:
        assert listeners.sockets
        assert not beside
        settings_of_starts.append(settings)
        announce()

    monkeypatch.setattr(serving, "run_server", start)
    monkeypatch.setattr(gc, "freeze", lambda: None)  # it would also keep garbage of other tests
    return settings_of_starts


def serve(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Result:
    variables = {PREFIX + name: value for name, value in (env or {}).items()}
    return CliRunner().invoke(main, ["serve", *map(str, arguments)], env=variables)


def printed(result: Result) -> dict[str, tuple[str, str]]:
    """Return the printed settings: name → value and source."""
    assert result.exit_code == 0, result.output
    rows = [re.fullmatch(r"(\w+) +(\S+) +(\S.*)", line) for line in result.stdout.splitlines()]
    return {row[1]: (row[2], row[3]) for row in rows if row}


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_names_every_setting_and_its_default(flag: str) -> None:
    result = serve(flag)
    assert result.exit_code == 0
    options = re.split(r"\n  (?=-)", result.output)
    for name, (default, _) in DEFAULTS.items():
        (text,) = [option for option in options if option.startswith(f"{flag_of(name)} ")]
        if name == "log_level":
            assert "[error|warning|info|debug]" in text
        assert default == "-" or f"[default: {default.removesuffix('.0')}" in " ".join(text.split())


def test_the_program_lists_its_commands_and_prints_its_version() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    assert re.search(r"^  serve +Serve the OpenAI API", shown, re.MULTILINE)
    assert re.search(r"^  login +Log in to Codex", shown, re.MULTILINE)
    assert CliRunner().invoke(main, ["--version"]).output == f"codex-openai-proxy, version {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_the_beginning_of_its_help(name: str) -> None:
    assert main.commands[name].get_short_help_str(limit=200) == load(name).get_short_help_str(limit=200)


def test_without_options_print_config_shows_every_default_and_starts_nothing(starts: list[Settings]) -> None:
    assert printed(serve("--print-config")) == DEFAULTS
    assert starts == []


def test_the_command_line_overrides_the_environment_the_file_and_the_default(config_file: Path) -> None:
    config_file.write_text('addr = ":1"\nmax_body = 1111\nidle_timeout = 11\n')
    environment = {"ADDR": ":2", "MAX_BODY": "2222"}
    assert printed(serve("--print-config", "--addr", ":3", env=environment)) == {
        **DEFAULTS,
        "addr": (":3", "command line"),
        "max_body": ("2222", "environment"),
        "idle_timeout": ("11.0", "config file"),
    }


SETTINGS = {
    "addr": (":8000", ":8000"),
    "certfile": (str(TLS / "server.pem"), str(TLS / "server.pem")),
    "keyfile": (str(TLS / "server.key"), str(TLS / "server.key")),
    "codex": ("/opt/codex", "/opt/codex"),
    "codex_ca_file": (__file__, __file__),
    "codex_unchecked": ("true", "True"),
    "tunnel": ("codex.example.com", "codex.example.com"),
    "cloudflared": ("/opt/cloudflared", "/opt/cloudflared"),
    "api_key": ("s3cret", "***"),
    "api_key_file": ("/etc/key", "/etc/key"),
    "keys_file": ("/etc/keys", "/etc/keys"),
    "allow_origin": ("https://a.example:443", "https://a.example"),
    "max_body": (1024, "1024"),
    "start_patience": (0.1, "0.1"),
    "head_patience": (0.1, "0.1"),
    "keep_alive": (0.1, "0.1"),
    "idle_timeout": (0.1, "0.1"),
    "reasoning": ("details", "details"),
    "model_names": ("plain", "plain"),
    "aliases": ("fast=codex-low", "fast=codex-low"),
    "threads": (0, "0"),
    "spares": (0, "0"),
    "thread_age": (0.1, "0.1"),
    "store": ("/var/lib/responses", "/var/lib/responses"),
    "store_size": (1024, "1024"),
    "store_age": (0.1, "0.1"),
    "usage_age": (0.1, "0.1"),
    "answers": (1, "1"),
    "queue_patience": (0.1, "0.1"),
    "no_websocket": ("true", "True"),
    "grace": (0.1, "0.1"),
    "record": ("cases", "cases"),
    "replay": ("cases", "cases"),
    "pace": ("max", "max"),
    "demo": ("true", "True"),
    "agents": ("site=/srv/site", "site=/srv/site"),
    "agent_write": ("site", "site"),
    "agent_public": ("true", "True"),
    "agent_activity": ("text", "text"),
    "agent_time": (0.1, "0.1"),
    "agent_idle": (0.1, "0.1"),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
    "log_requests": ("true", "True"),
}


def test_every_setting_has_a_test_value() -> None:
    assert set(SETTINGS) == set(DEFAULTS)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_can_come_from_any_source_and_no_key_is_shown(name: str, config_file: Path) -> None:
    value, shown = SETTINGS[name]
    by_flag = serve("--print-config", flag_of(name), str(value))
    by_variable = serve("--print-config", env={name.upper(): str(value)})
    config_file.write_text(f"{name} = {value!r}\n")
    by_file = serve("--print-config")
    assert printed(by_flag) == DEFAULTS | {name: (shown, "command line")}
    assert printed(by_variable) == DEFAULTS | {name: (shown, "environment")}
    assert printed(by_file) == DEFAULTS | {name: (shown, "config file")}
    assert "s3cret" not in by_flag.output + by_variable.output + by_file.output


@pytest.mark.parametrize("how", ["command line", "environment"])
def test_a_named_file_is_read_instead_of_the_default_one(how: str, tmp_path: Path, config_file: Path) -> None:
    config_file.write_text('addr = ":1"')
    named = tmp_path / "named.toml"
    named.write_text("grace = 2.5")
    if how == "command line":
        result = serve("--config", named, "--print-config")
    else:
        result = serve("--print-config", env={"CONFIG": str(named)})
    assert printed(result) == {**DEFAULTS, "grace": ("2.5", "config file")}


@pytest.mark.parametrize("name", ["adress", "max-body", "config", "print_config", "serve"])
def test_an_unknown_setting_in_the_file_is_named_with_the_known_ones(name: str, config_file: Path) -> None:
    config_file.write_text(f'{name} = "x"')
    result = serve("--print-config")
    assert result.exit_code == 2
    words = " ".join(result.stderr.split())
    assert f"{config_file}: unknown setting {name!r}; the settings are {', '.join(sorted(DEFAULTS))}" in words


@pytest.mark.parametrize("content", [b"addr = ", b"\xff", None], ids=["no TOML", "no UTF-8", "no file"])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    named = tmp_path / "named.toml"
    if content is not None:
        named.write_bytes(content)
    result = serve("--config", named, "--print-config")
    assert result.exit_code == 2
    assert "Invalid value for '--config'" in result.stderr
    assert str(named) in result.stderr


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--addr", "localhost"), "--addr"),
        (("--addr", "localhost:http"), "--addr"),
        (("--max-body", "1023"), "--max-body"),
        (("--max-body", "many"), "--max-body"),
        (("--grace", "0"), "--grace"),
        (("--idle-timeout", "-1"), "--idle-timeout"),
        (("--reasoning", "loud"), "--reasoning"),
        (("--reasoning", ""), "--reasoning"),
        (("--threads", "-1"), "--threads"),
        (("--spares", "-1"), "--spares"),
        (("--codex-ca-file", "/there/is/none"), "--codex-ca-file"),
        (("--threads", "1.5"), "--threads"),
        (("--thread-age", "0"), "--thread-age"),
        (("--log-level", "loud"), "--log-level"),
        (("--api-key", ""), "--api-key"),
        (("--api-key", " "), "--api-key"),
        (("--nonsense",), "--nonsense"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_before_anything_starts(
    arguments: tuple[str, ...], option: str, starts: list[Settings]
) -> None:
    result = serve(*arguments)
    assert result.exit_code == 2
    assert re.search(rf"{option}\b", result.stderr)
    assert starts == []


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ('max_body = "many"', "--max-body"),
        ('log_level = "loud"', "--log-level"),
        ('api_key = ""', "--api-key"),
        ('api_key = "schlüssel"', "--api-key"),
        ('allow_origin = "chat.example"', "--allow-origin"),
        ('allow_origin = ["https://chat.example", "x"]', "--allow-origin"),
        ('reasoning = "loud"', "--reasoning"),
        ("reasoning = false", "--reasoning"),
        ("threads = -1", "--threads"),
        ("thread_age = 0", "--thread-age"),
    ],
)
def test_a_wrong_value_in_the_file_is_refused_too(
    line: str, option: str, config_file: Path, starts: list[Settings]
) -> None:
    config_file.write_text(line)
    result = serve()
    assert result.exit_code == 2
    assert option in result.stderr
    assert starts == []


def test_the_server_gets_the_settings(starts: list[Settings], config_file: Path) -> None:
    config_file.write_text("max_body = 4096\nkeep_alive = 3\n")
    options = ("--addr", "127.0.0.1:0", "--codex", "/opt/codex", "--reasoning", "think", "--threads", "0")
    files = {"STORE": "/var/responses", "KEYS_FILE": "/var/keys"}
    result = serve(*options, env={"API_KEY": "s3cret", "GRACE": "7", "THREAD_AGE": "90", **files})
    assert result.exit_code == 0, result.output
    assert starts == [
        Settings(
            host="127.0.0.1",
            port=0,
            codex="/opt/codex",
            api_key="s3cret",
            max_body=4096,
            keep_alive=3,
            reasoning="think",
            threads=0,
            thread_age=90,
            store="/var/responses",
            keys_file="/var/keys",
            grace=7,
        )
    ]


@pytest.mark.parametrize("key", ["schlüssel", "🔑", "a\tb", "a\nb", " \u00a0 "])
def test_a_key_that_no_client_can_send_is_refused_wherever_it_comes_from(
    key: str, starts: list[Settings], config_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(key, encoding="utf-8")
    file.chmod(0o600)
    config_file.write_text(f"api_key = {json.dumps(key, ensure_ascii=False)}", encoding="utf-8")
    results = [serve("--addr", "127.0.0.1:0")]
    config_file.unlink()
    results += [serve("--api-key", key), serve(env={"API_KEY": key}), serve("--api-key-file", file)]
    for result in results:
        assert result.exit_code == 2
        assert "--api-key" in result.stderr
        assert re.search(r"outside printable ASCII|the key is empty", " ".join(result.stderr.split()))
    assert starts == []


def test_several_origins_can_be_allowed_in_every_source(starts: list[Settings], config_file: Path) -> None:
    serve("--addr", "127.0.0.1:0", "--allow-origin", "https://a.example", "--allow-origin", "https://b.example/")
    serve("--addr", "127.0.0.1:0", env={"ALLOW_ORIGIN": "https://a.example https://b.example"})
    config_file.write_text('allow_origin = ["https://a.example", "https://b.example"]')
    serve("--addr", "127.0.0.1:0")
    assert [settings.allow_origin for settings in starts] == [("https://a.example", "https://b.example")] * 3


def test_without_options_the_server_gets_the_default_settings(starts: list[Settings]) -> None:
    result = serve("--addr", "127.0.0.1:0")
    assert result.exit_code == 0, result.output
    assert starts == [Settings(host="127.0.0.1", port=0, store=str(STORE_FILE), keys_file=str(KEYS_FILE))]


def test_stored_responses_can_be_kept_in_memory(starts: list[Settings]) -> None:
    result = serve("--addr", "127.0.0.1:0", "--store", "memory")
    assert result.exit_code == 0, result.output
    assert starts == [Settings(host="127.0.0.1", port=0, keys_file=str(KEYS_FILE))]


@pytest.mark.parametrize(
    ("env", "who"),
    [
        ({}, "only this machine may connect; set an API key to allow others"),
        ({"API_KEY": "s3cret"}, "clients need an API key"),
    ],
    ids=["without a key", "with a key"],
)
def test_the_server_says_where_it_listens_and_who_may_connect(env: dict[str, str], who: str) -> None:
    result = serve("--addr", "127.0.0.1:0", env=env)
    announced = re.fullmatch(r"codex-openai-proxy (\S+) listens on http://localhost:(\d+)/v1 \((.*)\)\n", result.stderr)
    assert announced, result.stderr
    assert (announced[1], announced[3]) == (__version__, who)
    assert int(announced[2]) > 0
    assert "s3cret" not in result.output


def test_an_address_in_use_is_named(starts: list[Settings]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        result = serve("--addr", address)
    assert result.exit_code == 1
    assert re.fullmatch(
        rf"Error: cannot listen on {address}: .+\. Choose another address with --addr\.\n", result.stderr
    )
    assert starts == []


def test_a_codex_that_cannot_be_started_ends_the_server_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise CodexNotFoundError("no codex was found")

    monkeypatch.setattr(serving, "run_server", fail)
    result = serve("--addr", "127.0.0.1:0")
    assert (result.exit_code, result.stderr) == (1, "Error: no codex was found\n")


class Socket:
    """A fake socket bound to an address that this machine may not have."""

    def __init__(self, *address: str | int) -> None:
        self._address = address

    def getsockname(self) -> tuple[str | int, ...]:
        return self._address

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("first", "url"),
    [
        (Socket("0.0.0.0", 8000), "http://localhost:8000/v1"),
        (Socket("127.0.0.1", 8000), "http://localhost:8000/v1"),
        (Socket("::", 8000, 0, 0), "http://localhost:8000/v1"),
        (Socket("::1", 8000, 0, 0), "http://localhost:8000/v1"),
        (Socket("192.168.1.7", 8000), "http://192.168.1.7:8000/v1"),
        (Socket("2001:db8::7", 8000, 0, 0), "http://[2001:db8::7]:8000/v1"),
    ],
    ids=["every address", "this machine", "every IPv6 address", "this machine, IPv6", "one address", "one of IPv6"],
)
def test_the_announced_url_can_be_typed_into_a_client(first: Socket, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def listen(host: str, port: int) -> Listeners:
        asked.append((host, port))
        return Listeners([cast("Any", first)], Connections(1))

    monkeypatch.setattr(serving, "listen", listen)
    assert f" listens on {url} (" in serve("--addr", "a.example:80").stderr
    assert asked == [("a.example", 80)]


def test_an_https_server_announces_itself_as_one(starts: list[Settings]) -> None:
    done = serve("--addr", "127.0.0.1:0", "--certfile", TLS / "server.pem", "--keyfile", TLS / "server.key")
    assert " listens on https://localhost:" in done.stderr
    assert [(start.certfile, start.keyfile) for start in starts] == [(str(TLS / "server.pem"), str(TLS / "server.key"))]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("--certfile", TLS / "server.pem"), 2, "go together"),
        (("--keyfile", TLS / "server.key"), 2, "go together"),
        (("--certfile", TLS / "server.pem", "--keyfile", TLS / "expired.key"), 1, "does not belong to"),
    ],
)
def test_an_https_server_with_an_unusable_certificate_does_not_start(
    starts: list[Settings], arguments: tuple[str | Path, ...], status: int, reason: str
) -> None:
    refused = serve("--addr", "127.0.0.1:0", *arguments)
    assert refused.exit_code == status
    assert reason in refused.stderr
    assert starts == []


def test_recordings_are_written_to_and_read_from_a_folder(starts: list[Settings]) -> None:
    assert serve("--addr", "127.0.0.1:0", "--record", "cases").stderr.endswith(
        "It records every conversation in cases.\n"
    )
    assert (
        "It replays the recordings in cases"
        in serve("--addr", "127.0.0.1:0", "--replay", "cases", "--pace", "4").stderr
    )
    serve("--addr", "127.0.0.1:0", "--replay", "cases", "--pace", "max")
    assert [(start.record, start.replay, start.pace) for start in starts] == [
        ("cases", None, 1),
        (None, "cases", 4),
        (None, "cases", float("inf")),
    ]


def test_a_replay_is_not_recorded(starts: list[Settings]) -> None:
    refused = serve("--replay", "cases", "--record", "more")
    assert refused.exit_code == 2
    assert "--record and --replay exclude each other" in refused.stderr
    assert not starts


@pytest.mark.parametrize(("logged_out", "served"), [(True, True), (False, False)])
def test_the_demo_is_served_only_without_a_login(
    starts: list[Settings], monkeypatch: pytest.MonkeyPatch, *, logged_out: bool, served: bool
) -> None:
    async def asked(codex: str | None) -> bool:
        assert codex == "/opt/codex"
        return logged_out

    monkeypatch.setattr(serving, "is_logged_out", asked)
    done = serve("--addr", "127.0.0.1:0", "--codex", "/opt/codex", "--demo", "true")
    assert [(start.demo, start.replay is not None) for start in starts] == [(served, served)]
    assert ("DEMO: Codex is not logged in" in done.stderr) is served


@pytest.mark.parametrize("asked", ["--replay", "--record"])
def test_recording_and_replaying_show_no_demo(
    starts: list[Settings], monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(serving, "is_logged_out", None)
    serve("--addr", "127.0.0.1:0", "--demo", "true", asked, "cases")
    assert not starts[0].demo


@pytest.mark.parametrize("command", ["record", "replay"])
def test_record_and_replay_are_serve_with_a_folder(starts: list[Settings], command: str) -> None:
    done = CliRunner().invoke(main, [command, "cases", "--addr", "127.0.0.1:0", "--grace", "3"])
    assert done.exit_code == 0
    assert getattr(starts[0], command) == "cases"
    assert starts[0].grace == 3


def test_a_check_serves_nothing() -> None:
    done = CliRunner().invoke(main, ["replay", "cases", "--check", "--grace", "3"])
    assert done.exit_code == 2
    assert "--check serves nothing: --grace has no meaning with it." in done.stderr


# ── the key file ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_key_may_be_in_a_file(starts: list[Settings], tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    (tmp_path / "key").chmod(0o600)
    result = serve("--addr", "127.0.0.1:0", "--api-key-file", tmp_path / "key")
    assert result.exit_code == 0, result.output
    assert [settings.api_key for settings in starts] == ["s3cret"]
    assert "s3cret" not in result.output


def test_an_invalid_key_file_is_refused_before_anything_starts(starts: list[Settings], tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret")
    (tmp_path / "key").chmod(0o644)
    result = serve("--addr", "127.0.0.1:0", "--api-key-file", tmp_path / "key")
    assert result.exit_code == 2
    assert "other users may access" in result.output
    assert starts == []


def test_a_key_that_is_given_twice_is_refused(starts: list[Settings], tmp_path: Path) -> None:
    result = serve("--addr", "127.0.0.1:0", "--api-key-file", tmp_path / "key", env={"API_KEY": "other"})
    assert result.exit_code == 2
    assert "given twice" in result.output
    assert starts == []
