"""Finds the system programs that tests need, and installs missing ones.

`python -m tests.harness.system_programs` installs them on Debian and Ubuntu.
A test whose program is missing is skipped; in CI (CI=true) it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = {"chromium": "chromium", "curl": "curl", "nginx": "nginx-light", "redis-server": "redis-server"}
"""Program → the Debian and Ubuntu package that contains it."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names of Chromium. BROWSER_UNDER_TEST may give the path of another browser."""

PATIENCE = 60
"""Time limit for the package list, in seconds; without a network apt-get would wait for minutes."""


def find(program: str) -> str | None:
    """Return the path of a program, or None if it is not installed."""
    if program == "chromium":
        return os.environ.get("BROWSER_UNDER_TEST") or next(filter(None, map(shutil.which, BROWSERS)), None)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    # Debian puts servers into the sbin next to each bin, which is not on every user's PATH.
    sbin = [str(Path(folder).parent / "sbin") for folder in folders if folder]
    return shutil.which(program, path=os.pathsep.join([*folders, *sbin]))


def program_of(program: str) -> str:
    """Return the path of a program; if it is not installed, skip the test, or fail it in CI."""
    return find(program) or _give_up(_reason(program))


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)  # `make test` must pass on a machine that lacks the program and cannot install it


def _reason(program: str) -> str:
    return f"{program} is not installed"


def how_to_run(skipped: Iterable[str]) -> list[str]:
    """Return the lines that tell how to run tests skipped for these reasons: none, or two."""
    reasons = list(skipped)
    missing = [program for program in PACKAGES if _reason(program) in reasons]
    if not missing:
        return []
    count = sum(reason in map(_reason, missing) for reason in reasons)
    packages = " ".join(PACKAGES[program] for program in missing)
    return [
        f"Skipped tests: {count}, because these programs are not installed: {', '.join(missing)}.",
        f"To run them too, install the programs (Debian, Ubuntu: sudo apt-get install {packages}).",
    ]


def install() -> None:
    """Install missing programs if apt-get exists and needs no password; print failures instead of raising them."""
    packages = [package for program, package in PACKAGES.items() if not find(program)]
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not packages or not shutil.which("apt-get") or _error_of(*as_root, "true"):
        return
    print("Installing programs that tests run:", *packages, flush=True)  # noqa: T201 - a command
    as_root += ["env", "DEBIAN_FRONTEND=noninteractive"]
    apt_get = ["apt-get", "-qq", "-o", "Acquire::Retries=0"]
    if error := _error_of(*as_root, "timeout", "--verbose", f"{PATIENCE}", *apt_get, "update"):
        print(f"They cannot be installed: {error}", flush=True)  # noqa: T201
        return
    for package in packages:  # one by one, because Ubuntu has no Chromium package
        if error := _error_of(*as_root, *apt_get, "install", "--no-install-recommends", package):
            print(f"{package} could not be installed: {error}", flush=True)  # noqa: T201


def _error_of(*command: str) -> str:
    """Run a command; return "" if it succeeds, else the last line of its stderr."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return (done.stderr.splitlines() or [f"exit status {done.returncode}"])[-1]


if __name__ == "__main__":
    install()
