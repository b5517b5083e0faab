"""Codex as a child process: found wherever it is installed, never blocked by its stderr, always stopped."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import anyio
import pytest

from codex_rpc.errors import CodexNotFoundError, CodexTooOldError
from codex_rpc.process.child import Child, spawn
from codex_rpc.process.process import (
    FLOOR,
    NEWEST_TESTED,
    WHEEL_MODULE,
    CodexProcess,
    check_version,
    codex_process,
    find_codex,
    read_version,
    run_to_end,
    untested_note,
)

# Each child prints `up` when it is ready, and writes a file when it ends. It ends soon even if a test fails to stop it.
only_linux_shows_strangers = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux shows the processes that left their parent's group"
)
"""Elsewhere such a process goes on, as the test of a stranger that holds a pipe says."""

ENDS_WITH_STDIN = """
import sys
print('up', flush=True)
sys.stdin.read()
open('ended by itself', 'x').close()
"""
NOTES_SIGTERM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(open('terminated', 'x').close()))
held = open('lifeline', 'w')
print('up', flush=True)
time.sleep(20)
"""
IGNORES_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: open('terminated', 'x').close())
held = open('lifeline', 'w')
print('up', flush=True)
time.sleep(20)
"""
LEAVES_ITS_STDIN_TO_A_STRANGER = f"""
import subprocess, sys, time
stranger = [sys.executable, '-IS', '-c', {IGNORES_SIGTERM!r}]
subprocess.Popen(stranger, start_new_session=True, stdout=subprocess.PIPE).stdout.readline()
print('up', flush=True)
time.sleep(20)
"""
LEAVES_A_STRANGER = f"""
import subprocess, sys
stranger = [sys.executable, '-IS', '-c', {IGNORES_SIGTERM!r}]
subprocess.Popen(stranger, start_new_session=True, stdout=subprocess.PIPE).stdout.readline()
print('up', flush=True)
sys.stdin.read()
"""
DIES_AND_LEAVES_A_STRANGER = f"""
import os, subprocess, sys
stranger = [sys.executable, '-IS', '-c', {IGNORES_SIGTERM!r}]
subprocess.Popen(stranger, process_group=0, stdout=subprocess.PIPE).stdout.readline()
print('up', flush=True)
os.kill(os.getpid(), 9)
"""
READS_A_BYTE_AND_CLOSES_STDIN = """
import os, time
os.read(0, 1)
os.close(0)
time.sleep(20)
"""
LEAVES_A_GRANDCHILD = f"""
import subprocess, sys
subprocess.Popen([sys.executable, '-IS', '-c', {IGNORES_SIGTERM!r}])
sys.stdin.read()
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-IS", "-c", code]


@asynccontextmanager
async def child_that(code: str, folder: Path | None = None) -> AsyncGenerator[CodexProcess]:
    with anyio.fail_after(30):
        async with codex_process(python(code), {}, folder or Path.cwd()) as child:
            yield child


@asynccontextmanager
async def running_child(code: str) -> AsyncGenerator[Child]:
    child = await spawn(python(code), {}, Path.cwd())
    try:
        yield child
    finally:
        await child.close()


async def read_until(child: CodexProcess, text: bytes) -> None:
    """Read up to this text and no further."""

    def take(data: bytes) -> None:
        nonlocal said
        said += data
        if said.endswith(text):
            reading.cancel()

    said = b""
    with anyio.CancelScope() as reading:
        await child.read(take)
        pytest.fail(f"the child ended after {said!r}")


async def read_to_the_end(child: CodexProcess) -> bytes:
    said: list[bytes] = []
    await child.read(said.append)
    return b"".join(said)


@pytest.fixture
def lifeline(tmp_path: Path) -> Generator[int]:
    """A FIFO that the children in a folder hold open: its other end closes when the last of them has ended."""
    path = tmp_path / "lifeline"
    os.mkfifo(path)
    ours = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield ours
    os.close(ours)


async def is_released(lifeline: int) -> None:
    with anyio.fail_after(5):
        await anyio.wait_readable(lifeline)
    assert os.read(lifeline, 1) == b""


# ── a byte stream ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_megabytes_pass_both_ways_unchanged():
    echo = "import os\nwhile data := os.read(0, 65536):\n    while data: data = data[os.write(1, data) :]"
    sent = bytes(range(256)) * 4 * 1024 * 3
    received = bytearray()
    async with child_that(echo) as child, anyio.create_task_group() as group:

        def take(data: bytes) -> None:
            received.extend(data)
            if len(received) >= len(sent):
                group.cancel_scope.cancel()

        group.start_soon(child.send, sent)
        await child.read(take)

    assert received == sent


async def test_every_read_after_the_end_of_the_output_ends_at_once():
    async with child_that("print('bye')") as child:
        assert await read_to_the_end(child) == b"bye\n"
        assert [await read_to_the_end(child), await read_to_the_end(child)] == [b"", b""]


async def test_writing_to_a_child_that_has_ended_is_an_error():
    async def keep_writing() -> None:
        while True:
            await child.send(b"hello\n")

    async with child_that("pass") as child:
        await read_to_the_end(child)
        with anyio.fail_after(5), pytest.raises(BrokenPipeError):
            await keep_writing()


async def test_writing_more_than_a_child_reads_before_it_closes_its_stdin_is_an_error():
    with anyio.fail_after(15):
        async with running_child(READS_A_BYTE_AND_CLOSES_STDIN) as child:
            with pytest.raises(BrokenPipeError):
                await child.send(b"x" * 1_000_000)


async def test_the_child_gets_our_folder_and_our_environment_and_no_other(tmp_path: Path):
    code = "import os; print(os.getpid(), os.environ.get('OURS'), os.environ.get('PATH'), os.getcwd(), flush=True)"
    async with codex_process(python(code), {"OURS": "1"}, tmp_path) as child:
        assert await read_to_the_end(child) == f"{child.pid} 1 None {tmp_path.resolve()}{os.linesep}".encode()


async def test_a_signal_to_our_process_group_does_not_reach_the_child():
    async with child_that("import os; print(os.getpgid(0) == os.getpid())") as child:
        assert await read_to_the_end(child) == b"True\n"


async def test_an_executable_that_cannot_be_started_is_not_found(tmp_path: Path):
    text = tmp_path / "codex"
    text.write_text("no program")
    for command in (tmp_path / "missing", text):
        with pytest.raises(CodexNotFoundError, match="cannot be started") as caught:
            async with codex_process([str(command)], {}, tmp_path):
                pytest.fail("it was started")
        assert str(command) in str(caught.value)


# ── stderr ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["x" * 79 + "\n", "x" * 80])
async def test_megabytes_of_stderr_do_not_block_the_child(text: str):
    code = f"import sys; sys.stderr.write({text!r} * 50_000); sys.stderr.flush(); print('done', flush=True)"
    async with child_that(code) as child:
        await read_until(child, b"done\n")


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (b"", ""),
        (b"one\ntwo\n", "one\ntwo"),
        (b"".join(b"line %d\n" % number for number in range(9)), "line 4\nline 5\nline 6\nline 7\nline 8"),
        (b"\x1b[2m2026\x1b[0m \x1b[31;1mERROR\x1b[0m bad config\n", "2026 ERROR bad config"),
        ("caf\u00e9 ".encode() + b"\xff!\n", "caf\u00e9 \ufffd!"),
        (b"before\n" + b"x" * 5000 + b"\n", "before\n" + "x" * 2000),
        (b"before\n" + b"x" * 5_000_000 + b"\n", "before\n" + "x" * 2000),
    ],
)
async def test_the_last_lines_of_stderr_are_kept_without_colours(stderr: bytes, words: str):
    code = "import sys; sys.stderr.buffer.write(sys.stdin.buffer.read())"
    with anyio.fail_after(30):
        async with running_child(code) as child:
            codex = CodexProcess(child)
            async with anyio.create_task_group() as group:
                group.start_soon(codex.drain_stderr)
                await codex.send(stderr)
                child.close_stdin()

    assert codex.last_words() == words


async def test_stderr_is_logged_line_by_line_however_the_pipe_cuts_it(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level("DEBUG", "codex_rpc.process.process")
    code = "import sys; sys.stderr.write(''.join(f'line {number} of many\\n' for number in range(10_000)))"
    with anyio.fail_after(30):
        async with running_child(code) as child:
            await CodexProcess(child).drain_stderr()

    assert caplog.messages == [f"codex: line {number} of many" for number in range(10_000)]


# ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_child_that_ends_with_its_stdin_gets_no_signal(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with child_that(ENDS_WITH_STDIN, tmp_path) as child:
        await read_until(child, b"up\n")

    assert (tmp_path / "ended by itself").exists()
    assert caplog.messages == []


async def test_a_child_that_has_already_ended_needs_no_stopping(caplog: pytest.LogCaptureFixture):
    async with child_that("pass") as child:
        await read_to_the_end(child)

    assert caplog.messages == []


async def test_a_child_that_ignores_the_end_of_its_stdin_is_terminated(
    tmp_path: Path, lifeline: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("codex_rpc.process.process.EXIT_GRACE", 0.2)
    async with child_that(NOTES_SIGTERM, tmp_path) as child:
        await read_until(child, b"up\n")

    await is_released(lifeline)
    assert (tmp_path / "terminated").exists()
    assert caplog.messages == [f"codex (pid {child.pid}) did not end when its stdin was closed; sending SIGTERM"]


async def test_a_child_that_ignores_sigterm_as_well_is_killed(
    tmp_path: Path, lifeline: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("codex_rpc.process.process.EXIT_GRACE", 0.2)
    async with child_that(IGNORES_SIGTERM, tmp_path) as child:
        await read_until(child, b"up\n")

    await is_released(lifeline)
    assert (tmp_path / "terminated").exists()
    assert caplog.messages == [
        f"codex (pid {child.pid}) did not end when its stdin was closed; sending SIGTERM",
        f"codex (pid {child.pid}) did not end on SIGTERM; killing it",
    ]


async def test_a_group_that_may_not_be_signalled_any_more_is_stopped(
    tmp_path: Path, lifeline: int, monkeypatch: pytest.MonkeyPatch
):
    """On macOS a group that has only a zombie left may not be signalled."""
    monkeypatch.setattr("codex_rpc.process.process.EXIT_GRACE", 0.2)
    signal_it = os.killpg

    def killpg(group: int, number: int) -> None:
        with suppress(ProcessLookupError):
            signal_it(group, number)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", killpg)
    async with child_that(NOTES_SIGTERM, tmp_path) as child:
        await read_until(child, b"up\n")

    await is_released(lifeline)


async def test_processes_that_the_child_started_and_left_are_killed(tmp_path: Path, lifeline: int):
    async with child_that(LEAVES_A_GRANDCHILD, tmp_path) as child:
        await read_until(child, b"up\n")

    await is_released(lifeline)
    with anyio.fail_after(5):
        assert await read_to_the_end(child) == b""
        await child.drain_stderr()


async def test_a_child_that_reads_nothing_of_what_it_was_sent_is_stopped(
    tmp_path: Path, lifeline: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("codex_rpc.process.process.EXIT_GRACE", 0.2)
    async with child_that(NOTES_SIGTERM, tmp_path) as child:
        await read_until(child, b"up\n")
        with anyio.move_on_after(0.01):
            await child.send(b"x" * 1_000_000)

    await is_released(lifeline)


async def test_a_child_is_stopped_though_another_process_holds_its_stdin_and_reads_nothing(
    tmp_path: Path, lifeline: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("codex_rpc.process.process.EXIT_GRACE", 0.2)
    async with child_that(LEAVES_ITS_STDIN_TO_A_STRANGER, tmp_path) as child:
        await read_until(child, b"up\n")
        with anyio.move_on_after(0.01):
            await child.send(b"x" * 1_000_000)

    if sys.platform == "linux":
        await is_released(lifeline)
    else:
        with pytest.raises(BlockingIOError):  # The stranger still holds it.
            os.read(lifeline, 1)


@only_linux_shows_strangers
async def test_a_process_that_left_the_group_of_the_child_is_stopped_with_it(tmp_path: Path, lifeline: int):
    async with child_that(LEAVES_A_STRANGER, tmp_path) as child:
        await read_until(child, b"up\n")

    await is_released(lifeline)


@only_linux_shows_strangers
async def test_a_process_that_left_the_group_is_stopped_though_the_child_died_first(tmp_path: Path, lifeline: int):
    async with child_that(DIES_AND_LEAVES_A_STRANGER, tmp_path) as child:
        await read_until(child, b"up\n")
        with anyio.fail_after(5):
            await child.read(lambda _: None)

    await is_released(lifeline)


async def test_a_cancelled_block_stops_the_child(tmp_path: Path):
    with anyio.CancelScope() as scope:
        async with child_that(ENDS_WITH_STDIN, tmp_path) as child:
            await read_until(child, b"up\n")
            scope.cancel()
            await anyio.sleep_forever()

    assert (tmp_path / "ended by itself").exists()


async def test_a_child_that_is_cancelled_while_it_starts_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("codex_rpc.process.process.EXIT_GRACE", 20)
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with child_that(ENDS_WITH_STDIN, tmp_path):
            await anyio.sleep_forever()

    assert (tmp_path / "ended by itself").exists()


async def test_an_exception_of_the_block_is_raised_unchanged_after_the_child_was_stopped(tmp_path: Path):
    async def fail() -> None:
        async with child_that(ENDS_WITH_STDIN, tmp_path) as child:
            await read_until(child, b"up\n")
            raise LookupError("of the block")

    with pytest.raises(LookupError, match="of the block"):
        await fail()

    assert (tmp_path / "ended by itself").exists()


# ── where codex is ───────────────────────────────────────────────────────────────────────────────────────────────────

NATIVE = "codex.exe" if os.name == "nt" else "codex"


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def wheel_with(monkeypatch: pytest.MonkeyPatch, bundled: Path | None) -> None:
    """Pretend that the wheel is installed, with or without its binary."""

    def bundled_codex_path() -> Path:
        if bundled is None:
            raise FileNotFoundError("the wheel has no binary for this machine")
        return bundled

    wheel = ModuleType(WHEEL_MODULE)
    wheel.__spec__ = ModuleSpec(WHEEL_MODULE, None)
    monkeypatch.setattr(wheel, "bundled_codex_path", bundled_codex_path, raising=False)
    monkeypatch.setitem(sys.modules, WHEEL_MODULE, wheel)


def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, WHEEL_MODULE, None)


def test_an_explicit_codex_is_preferred_to_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wheel_with(monkeypatch, tmp_path / "wheel")
    on_path = executable(tmp_path / "bin" / NATIVE)
    explicit = executable(tmp_path / "elsewhere" / f"my-{NATIVE}")

    assert find_codex(str(explicit), path=str(on_path.parent)) == explicit


def test_an_explicit_codex_may_be_a_name_on_the_path(tmp_path: Path):
    executable(tmp_path / NATIVE)
    nightly = executable(tmp_path / f"nightly-{NATIVE}")

    assert find_codex(nightly.name, path=str(tmp_path)) == nightly


def test_no_other_codex_replaces_a_missing_explicit_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wheel_with(monkeypatch, tmp_path / "wheel")
    executable(tmp_path / NATIVE)
    missing = str(tmp_path / "missing")

    with pytest.raises(CodexNotFoundError) as caught:
        find_codex(missing, path=str(tmp_path))
    assert str(caught.value) == f"there is no codex executable at {missing!r}; check --codex"


def test_the_first_executable_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wheel_with(monkeypatch, tmp_path / "wheel")
    text, first, second = (tmp_path / name / "codex" for name in ("text", "first", "second"))
    executable(text).chmod(0o644)
    path = os.pathsep.join(
        str(executable(it).parent) if it is not text else str(it.parent) for it in (text, first, second)
    )

    assert find_codex(path=path) == first


def test_the_default_path_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    codex = executable(tmp_path / NATIVE)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_codex() == codex


def test_the_wheel_is_used_when_there_is_no_codex_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wheel_with(monkeypatch, tmp_path / "wheel" / NATIVE)

    assert find_codex(path=str(tmp_path)) == tmp_path / "wheel" / NATIVE


@pytest.mark.parametrize("with_wheel", [False, True])
def test_without_any_codex_the_error_says_how_to_get_one(
    with_wheel: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if with_wheel:
        wheel_with(monkeypatch, None)
    else:
        no_wheel(monkeypatch)

    with pytest.raises(CodexNotFoundError) as caught:
        find_codex(path=str(tmp_path))
    for words in ("--codex", "PATH", "npm install -g @openai/codex", "pip install openai-codex-cli-bin"):
        assert words in str(caught.value)


NPM_PACKAGE = "lib/node_modules/@openai/codex"
NPM_LAYOUTS = [
    "lib/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin",
    "lib/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/codex",
    f"{NPM_PACKAGE}/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin",
    f"{NPM_PACKAGE}/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/codex",
]


def npm_shim(prefix: Path) -> Path:
    """The files that `npm install -g` puts on the PATH of a POSIX system."""
    script = executable(prefix / NPM_PACKAGE / "bin" / "codex.js")
    shim = prefix / "bin" / "codex"
    shim.parent.mkdir()
    shim.symlink_to(os.path.relpath(script, shim.parent))
    return shim


@pytest.mark.parametrize("layout", NPM_LAYOUTS)
def test_the_native_codex_of_an_npm_shim_is_found(layout: str, tmp_path: Path):
    shim = npm_shim(tmp_path)
    native = executable(tmp_path / layout / "codex")
    executable(tmp_path / layout / "codex-linux-sandbox")
    executable(native.parents[1] / "path" / "rg")

    assert find_codex(path=str(shim.parent)) == native
    assert find_codex(str(shim), path="") == native
    assert find_codex(str(shim.resolve()), path="") == native


def test_a_shim_without_a_native_codex_is_used_itself(tmp_path: Path):
    shim = npm_shim(tmp_path)
    (tmp_path / NPM_LAYOUTS[0] / "codex").mkdir(parents=True)
    executable(tmp_path / "lib/node_modules/@other/codex-linux-x64/vendor/any/bin/codex")

    assert find_codex(path=str(shim.parent)) == shim


def test_a_link_to_a_native_codex_is_used_unresolved(tmp_path: Path):
    real = executable(tmp_path / "Cellar" / "codex" / "0.169.0" / "bin" / "codex")
    link = tmp_path / "bin" / "codex"
    link.parent.mkdir()
    link.symlink_to(real)

    assert find_codex(path=str(link.parent)) == link


@pytest.mark.parametrize("suffix", [".cmd", ".ps1"])
@pytest.mark.parametrize("package", ["@openai/codex/node_modules/@openai", "@openai"])
def test_the_native_codex_of_an_npm_shim_on_windows_is_found(suffix: str, package: str, tmp_path: Path):
    shim = executable(tmp_path / f"codex{suffix}")
    native = executable(
        tmp_path / "node_modules" / package / "codex-win32-x64/vendor/x86_64-pc-windows-msvc/bin" / NATIVE
    )

    assert find_codex(str(shim), path="") == native


# ── its version ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("codex-cli 0.163.0", (0, 163, 0)),
        ("codex-cli 0.170.0-alpha.3\n", (0, 170, 0)),
        ("codex-openai-proxy/0.169.0 (Debian 12.0.0; x86_64) xterm (codex-openai-proxy; 0.1.0)", (0, 169, 0)),
        ("12.345.6789", (12, 345, 6789)),
        ("codex-cli 0.163", None),
        ("codex-cli dev", None),
        ("", None),
    ],
)
def test_the_first_version_in_a_text_is_the_version_of_codex(text: str, version: tuple[int, int, int] | None):
    assert read_version(text) == version


def dotted(*version: int) -> str:
    return ".".join(map(str, version))


@pytest.mark.parametrize(
    "version",
    [
        dotted(*FLOOR),
        dotted(*FLOOR) + "-alpha.1",
        dotted(*FLOOR[:2], FLOOR[2] + 1),
        "1.0.0",
        "0.1000.0",
        "0.0.0",
        "dev",
    ],
)
def test_a_codex_at_the_floor_or_above_or_without_a_version_passes(version: str):
    check_version(f"codex-cli {version}", Path("/opt/codex"))


@pytest.mark.parametrize("version", [dotted(FLOOR[0], FLOOR[1] - 1, 999), "0.9.0", "0.0.1"])
def test_an_older_codex_is_refused_with_both_versions_and_the_command_to_update(version: str):
    with pytest.raises(CodexTooOldError) as caught:
        check_version(f"codex-cli {version}", Path("/opt/codex"))
    assert str(caught.value) == (
        f"/opt/codex is version {version}, but at least {dotted(*FLOOR)} is needed; "
        "update it with `npm install -g @openai/codex@latest` or `pip install -U openai-codex-cli-bin`"
    )


def test_a_codex_newer_than_the_tested_ones_is_noted():
    major, minor, patch = NEWEST_TESTED
    assert untested_note(f"codex-cli {dotted(major, minor, patch + 1)}") == (
        f"newer than {dotted(*NEWEST_TESTED)}, the newest version that this program was tested with"
    )
    known = (f"codex-cli {dotted(*NEWEST_TESTED)}", f"codex-cli {dotted(*FLOOR)}", "codex-cli 0.0.0", "codex-cli dev")
    assert [untested_note(version) for version in known] == ["", "", "", ""]


async def test_a_command_is_run_to_its_end(tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    status, printed, complained = await run_to_end([sys.executable, "-c", code], os.environ, tmp_path)
    assert (status, printed.strip(), complained.strip()) == (3, b"out", b"err")


async def test_a_command_that_is_cancelled_while_it_starts_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Child] = []

    with anyio.CancelScope() as scope:

        class GivenUp(Child):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                started.append(self)
                scope.cancel()

        monkeypatch.setattr("codex_rpc.process.child.Child", GivenUp)
        await run_to_end([sys.executable, "-c", "import time; time.sleep(60)"], os.environ, tmp_path)
    assert scope.cancelled_caught
    assert [child.status is not None for child in started] == [True]
