from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from bridge.tunnel import files
from bridge.tunnel.cloudflared import DOWNLOADS, install_hint
from bridge.tunnel.config import Config, NamedTunnel, Rule, config_text, parse_config, problems
from bridge.tunnel.errors import TunnelError
from bridge.tunnel.log import LogEvent, QuickAddress, Registered, Trouble, read_line
from bridge.tunnel.public_address import QUICK, public_address

WINDOWS = r"C:\Users\Ada Lovelace\.cloudflared\id.json"


def test_a_written_configuration_can_be_read_and_has_no_problems() -> None:
    text = config_text(NamedTunnel("id", WINDOWS, "codex.example.com", 11435))
    config = parse_config(text)
    rules = (Rule("http://127.0.0.1:11435", "codex.example.com"), Rule("http_status:404"))
    assert config == Config("http2", rules)
    assert config.hostname == "codex.example.com"
    assert list(problems(config, 11435)) == []
    assert r'credentials-file: "C:\\Users\\Ada Lovelace\\.cloudflared\\id.json"' in text


def test_a_tunnel_to_an_https_server_speaks_https_without_checking_the_name() -> None:
    text = config_text(NamedTunnel("id", WINDOWS, "codex.example.com", 11435, secure=True))
    assert yaml.safe_load(text)["ingress"] == [
        {
            "hostname": "codex.example.com",
            "service": "https://127.0.0.1:11435",
            "originRequest": {"noTLSVerify": True},
        },
        {"service": "http_status:404"},
    ]
    assert list(problems(parse_config(text), 11435, secure=True)) == []
    assert list(problems(parse_config(text), 11435)) == [
        "no ingress rule leads to http://127.0.0.1:11435, where the server listens"
    ]


def test_a_quick_tunnel_to_an_https_server_speaks_https_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "QUICK_CONFIG", tmp_path / "quick.yml")
    plain, secure = (
        public_address(QUICK, 8000, sys.executable, lambda _: None, secure=secure).command for secure in (False, True)
    )
    assert plain[-2:] == ["--url", "http://127.0.0.1:8000"]
    assert secure[-3:] == ["--url", "https://127.0.0.1:8000", "--no-tls-verify"]


def test_a_handwritten_file_can_be_read_too() -> None:
    text = """
tunnel: a   # a comment
protocol: "http2"  # over TCP
metrics: localhost:2000
ingress:
- hostname: a.example
  path: /v1
  service: 'http://localhost:8000/'
- service: http_status:404
"""
    config = parse_config(text)
    assert config == Config(
        "http2", (Rule("http://localhost:8000/", "a.example"), Rule("http_status:404")), "localhost:2000"
    )
    assert list(problems(config, 8000)) == []
    assert len(list(problems(config, 800))) == 1


def test_values_are_read_in_every_style_of_yaml() -> None:
    text = """
# protocol: quic
"protocol": http2
ingress:
  - {hostname: &name "a.example", service: "http://localhost:8000"}
  - hostname: *name
    service: >-
      http://localhost:8001
  - service: http_status:404
originRequest:
  hostname: other.example
"""
    rules = (
        Rule("http://localhost:8000", "a.example"),
        Rule("http://localhost:8001", "a.example"),
        Rule("http_status:404"),
    )
    assert parse_config(text) == Config("http2", rules)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "ingress:\n", "warp-routing:\n  enabled: true\n"])
def test_a_file_without_the_values_that_matter_has_three_problems(text: str) -> None:
    config = parse_config(text)
    assert config.hostname is None
    assert len(list(problems(config, 1))) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("protocol: [http2", "line 1"),
        ("ingress:\n- hostname: a\n\tservice: b", "line 3"),
        ("just a text", "Expected `object | null`, got `str`"),
        ("ingress: everything", "Expected `array | null`, got `str` - at `$.ingress`"),
        ("ingress:\n- service: 80", "Expected `str`, got `int` - at `$.ingress[0].service`"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_config(text)
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(TunnelError, match=re.escape(f"{path} cannot be read: ")):
        files.read_config(path)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("2024-05-01T10:00:00Z INF |  https://big-red-dog.trycloudflare.com   |", QuickAddress("https://big-red-dog.trycloudflare.com")),
        (
            "2024-05-01T10:00:00Z INF Registered tunnel connection connIndex=0 connection=ab event=0 ip=198.41.200.23 "
            "location=fra07 protocol=http2",
            Registered("fra07"),
        ),
        ("2024-05-01T10:00:00Z INF Registered tunnel connection", Registered("")),
        ("2024-05-01T10:00:00Z ERR Failed to dial error=\"timeout\"", Trouble('Failed to dial error="timeout"')),
        ("2024-05-01T10:00:00Z WRN Slow  ", Trouble("Slow")),
        ("2024-05-01T10:00:00Z INF Requesting new quick Tunnel on trycloudflare.com...", None),
        ("2024-05-01T10:00:00Z INF Unregistered tunnel connection connIndex=0", None),
        ("", None),
    ],
)  # fmt: skip
def test_log_lines_become_events_or_none(line: str, event: LogEvent | None) -> None:
    assert read_line(line) == event


def test_each_system_has_its_install_command_for_cloudflared() -> None:
    assert "brew install cloudflared" in install_hint("darwin")
    assert "winget install" in install_hint("win32")
    assert DOWNLOADS in install_hint("linux")
