"""Runs a command and stops it when standard input ends, which also happens when our parent process is killed.

This is a program of its own, which imports none of our modules: `python -IS guard.py COMMAND ARGUMENT ...`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

EXIT_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL, in which cloudflared finishes open requests."""


def main(command: list[str]) -> int:
    """Run the command to its end; return its exit status, or 128 and the number of the signal that ended it."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"- ERR it cannot be started: {error}\n")  # as cloudflared writes its errors
        return 1
    threading.Thread(target=_stop_when_input_ends, args=(child,), daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


def _stop_when_input_ends(child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    child.terminate()
    try:
        child.wait(EXIT_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
