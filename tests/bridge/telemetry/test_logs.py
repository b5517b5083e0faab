from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator

import pytest

from bridge.telemetry.ledger import RequestLogEntry
from bridge.telemetry.logs import LogFormat, configure_logs, log_request, request_line
from codex_rpc.wire.events import TokenUsage

ANSWER = RequestLogEntry(
    id="req_1",
    method="POST",
    path="/chat/completions",
    moment=0,
    model="xedoc-2.5-tpg",
    thread="continued; reason=same-history",
    first_token=0.25,
    seconds=1.5,
    usage=TokenUsage(812, 768, 40, 16),
    status=200,
)


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[str, LogFormat], None]]:
    """Configure the log as the program does, without pytest's handlers; restore it afterwards."""
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in ("", "bridge", "codex_rpc")}

    def configured(level: str, log_format: LogFormat) -> None:
        monkeypatch.setattr(root, "handlers", [])
        configure_logs(level, log_format)

    yield configured
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_the_line_of_an_answer_has_status_model_thread_timings_and_tokens() -> None:
    assert request_line(ANSWER) == (
        "POST /chat/completions 200 model=xedoc-2.5-tpg thread=continued:same-history first=0.250s "
        "tokens=812+40 cached=768 1.500s req_1"
    )


def test_the_line_of_another_request_is_short_and_a_failed_one_names_its_error() -> None:
    assert request_line(RequestLogEntry(id="r", method="GET", path="/models", seconds=0, status=200)) == (
        "GET /models 200 0.000s r"
    )
    failed = RequestLogEntry(id="r", method="POST", path="/x", seconds=0, error="upstream_error", model="m")
    assert request_line(failed) == "POST /x gone upstream_error model=m thread=- first=- tokens=0+0 cached=0 0.000s r"


def test_the_line_of_a_request_with_a_named_key_has_its_name() -> None:
    entry = RequestLogEntry(id="r", method="GET", path="/models", seconds=0, status=200, key="anna", key_id="k1")
    assert request_line(entry) == "GET /models 200 key=anna 0.000s r"


def test_text_chosen_by_a_client_cannot_start_a_new_line() -> None:
    line = request_line(
        RequestLogEntry(id="r", method="GET", path="/a\nINFO forged\u2028" + "x" * 999, model="m\r 200")
    )
    assert len(line.splitlines()) == 1
    assert "\\nINFO\\x20forged" in line
    assert len(line) < 400


def test_a_json_line_contains_the_whole_entry_of_a_request(
    configure: Callable[[str, LogFormat], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", "json")
    log_request(ANSWER)
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"]) == ("info", "bridge.telemetry.logs")
    assert line["message"].startswith("POST /chat/completions 200")
    assert line["request"]["input_tokens"] == 812
    assert line["request"]["thread"] == "continued; reason=same-history"


def test_a_json_line_contains_the_whole_traceback(
    configure: Callable[[str, LogFormat], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", "json")
    try:
        raise ZeroDivisionError("over nothing")
    except ZeroDivisionError:
        logging.getLogger("bridge").exception("no luck")
    line = json.loads(capsys.readouterr().err)
    assert line["level"] == "error"
    assert line["exception"].endswith("ZeroDivisionError: over nothing")


def test_only_our_own_loggers_follow_the_level(
    configure: Callable[[str, LogFormat], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure("debug", "human")
    logging.getLogger("bridge.http.routes").debug("our own line")
    logging.getLogger("hpack.hpack").debug("authorization: Bearer secret")
    logging.getLogger("asyncio").warning("a warning")
    written = capsys.readouterr().err
    assert "our own line" in written
    assert "a warning" in written
    assert "secret" not in written
