"""The guard of cloudflared: it ends with its command, and its command ends with its input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.tunnel import guard
from bridge.tunnel.log import Trouble, read_line

PATIENCE = 30


def guarded(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-IS", guard.__file__, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def python(code: str) -> tuple[str, ...]:
    return sys.executable, "-IS", "-c", code


@pytest.mark.parametrize(
    ("code", "status"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + 9)],
)
def test_its_status_is_that_of_the_command(code: str, status: int) -> None:
    with guarded(*python(code)) as process:
        assert process.wait(PATIENCE) == status


def test_the_command_is_stopped_when_the_input_ends() -> None:
    with guarded(*python("import time; print('up', flush=True); time.sleep(600)")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + 15


def test_a_command_that_ignores_the_signal_is_killed() -> None:
    ignores = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(guard.__file__).parent)!r}); import guard; guard.EXIT_GRACE = 0.1\n"
    )
    code += f"sys.exit(guard.main([sys.executable, '-IS', '-c', {ignores!r}]))"
    with subprocess.Popen(python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + 9


def test_a_command_that_cannot_be_started_is_reported_like_an_error_of_cloudflared(tmp_path: Path) -> None:
    with guarded(str(tmp_path / "nowhere")) as process:
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    event = read_line(said.strip())
    assert isinstance(event, Trouble)
    assert event.text.startswith("it cannot be started: ")
