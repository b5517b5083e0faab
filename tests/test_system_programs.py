"""Tests whose program is missing are skipped with a message; missing programs are installed where possible."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.harness.system_programs import PACKAGES, find, how_to_run, install, program_of

LOG = '#!/bin/sh\necho "${0##*/} $*" >> "$LOG"\n'


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of programs on a PATH that has only a shell, `env`, `timeout` and `true`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("env", "sh", "timeout", "true"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    for name in ("CI", "BROWSER_UNDER_TEST"):
        monkeypatch.delenv(name, raising=False)
    return folder


def put(path: Path, text: str = "#!/bin/sh\n") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("program", PACKAGES)
def test_a_test_whose_program_is_missing_is_skipped_but_fails_in_ci(
    program: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ci, expected in (("", pytest.skip.Exception), ("true", pytest.fail.Exception)):
        monkeypatch.setenv("CI", ci)
        with pytest.raises(
            (pytest.skip.Exception, pytest.fail.Exception), match=f"^{program} is not installed$"
        ) as raised:
            program_of(program)
        assert raised.type is expected
    put(machine / program)
    assert program_of(program) == str(machine / program)


def test_a_server_is_found_in_the_sbin_next_to_a_folder_of_path(machine: Path) -> None:
    put(machine.parent / "sbin" / "nginx")
    assert find("nginx") == str(machine.parent / "sbin" / "nginx")


def test_a_browser_may_have_another_name_or_be_chosen_by_the_user(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(machine / "google-chrome")
    assert find("chromium") == str(machine / "google-chrome")
    monkeypatch.setenv("BROWSER_UNDER_TEST", "/elsewhere/browser")
    assert find("chromium") == "/elsewhere/browser"


def test_a_run_with_skipped_tests_ends_with_how_to_run_them() -> None:
    reasons = ["nginx is not installed", "needs Windows", "chromium is not installed", "nginx is not installed"]
    assert how_to_run(reasons) == [
        "Skipped tests: 3, because these programs are not installed: chromium, nginx.",
        "To run them too, install the programs (Debian, Ubuntu: sudo apt-get install chromium nginx-light).",
    ]
    assert how_to_run(["needs Windows"]) == []


@pytest.mark.parametrize("user", [0, 1000])
def test_missing_programs_are_installed_and_failures_are_reported(
    user: int, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    put(machine / "curl")
    put(machine / "sudo", '#!/bin/sh\n[ "$1" = -n ] && shift && exec "$@"\n')
    put(machine / "apt-get", f"{LOG}case \"$*\" in *chromium*) echo 'E: no such package' >&2; exit 100;; esac\n")
    install()
    called = [line.split()[4:] for line in (machine.parent / "log").read_text().splitlines()]
    packages = ("chromium", "nginx-light", "redis-server")
    assert called == [["update"], *(["install", "--no-install-recommends", package] for package in packages)]
    assert capsys.readouterr().out == (
        "Installing programs that tests run: chromium nginx-light redis-server\n"
        "chromium could not be installed: E: no such package\n"
    )


def test_without_a_network_nothing_is_installed(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(machine / "sudo", '#!/bin/sh\n[ "$1" = -n ] && shift && exec "$@"\n')
    put(machine / "apt-get", f"{LOG}exit 100\n")
    install()
    assert (machine.parent / "log").read_text() == "apt-get -qq -o Acquire::Retries=0 update\n"
    assert capsys.readouterr().out.splitlines()[1:] == ["They cannot be installed: exit status 100"]


@pytest.mark.parametrize("sudo", [None, "#!/bin/sh\nexit 1\n"], ids=["no sudo", "sudo wants a password"])
def test_nothing_is_installed_without_the_right_to(
    sudo: str | None, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    put(machine / "apt-get", LOG)
    if sudo:
        put(machine / "sudo", sudo)
    install()
    assert not (machine.parent / "log").exists()
    assert capsys.readouterr().out == ""


def test_nothing_is_installed_when_nothing_is_missing_or_there_is_no_apt_get(machine: Path) -> None:
    install()
    put(machine / "apt-get", LOG)
    for program in PACKAGES:
        put(machine / program)
    install()
    assert not (machine.parent / "log").exists()
