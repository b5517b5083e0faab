from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from bridge.tunnel import files
from bridge.tunnel.cloudflared import DOWNLOADS, install_hint
from bridge.tunnel.config import ConfigFacts, NamedTunnel, config_text, problems, read_config
from bridge.tunnel.log import LogEvent, QuickAddress, Registered, Trouble, read_line
from bridge.tunnel.public_address import QUICK, public_address

WINDOWS = r"C:\Users\Ada Lovelace\.cloudflared\id.json"


def test_a_written_configuration_can_be_read_and_has_no_problems() -> None:
    text = config_text(NamedTunnel("id", WINDOWS, "codex.example.com", 11435))
    facts = read_config(text)
    services = ("http://127.0.0.1:11435", "http_status:404")
    assert facts == ConfigFacts("http2", ("codex.example.com",), services, None)
    assert list(problems(facts, 11435)) == []
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
    assert list(problems(read_config(text), 11435, secure=True)) == []
    assert list(problems(read_config(text), 11435)) == [
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
    facts, services = read_config(text), ("http://localhost:8000/", "http_status:404")
    assert facts == ConfigFacts("http2", ("a.example",), services, "localhost:2000")
    assert list(problems(facts, 8000)) == []
    assert len(list(problems(facts, 800))) == 1
    assert read_config("").hostname is None
    assert len(list(problems(read_config(""), 1))) == 3


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
