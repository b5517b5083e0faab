"""Builds what a release publishes and uses it as a user would: the container image's steps, the sdist, and the wheel.

`make packages` runs it, in CI too. It needs the package index, but neither Docker nor a codex that is logged in.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.harness.program import free_port
from tests.packages.dockerfile import Image

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds for a server to become healthy or to end."""


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch).resolve()
        image = Image(folder / "image")
        image.build(ROOT / "Dockerfile")
        with _running(image, image.command) as port:
            _until_it_succeeds(image, image.health, port)
        _say("Dockerfile: its steps work, and the container would be healthy")

        built = folder / "dist"
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", built], cwd=ROOT, check=True)
        [sdist], [wheel] = built.glob("*.tar.gz"), built.glob("*.whl")
        _run(image, "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "again", sdist)
        [again] = (folder / "again").glob("*.whl")
        if (missing := _names(wheel) - _names(again)) or (missing := _names(again) - _names(wheel)):
            raise SystemExit(f"the wheels of the sdist and of the repository differ: {sorted(missing)}")
        _say("sdist: it builds the same wheel")

        _run(image, "pip", "install", "--no-deps", "--force-reinstall", wheel)
        version = _run(image, "codex-openai-proxy", "--version").strip()
        with _running(image, ["codex-openai-proxy", "serve", "--demo", "true"]) as port:
            _until_it_succeeds(image, image.health, port)
            asked = {"model": "codex", "messages": [{"role": "user", "content": "Say hi."}]}
            answer = httpx2.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=asked, timeout=PATIENCE)
            text = answer.raise_for_status().json()["choices"][0]["message"]["content"]
        _say(f"wheel: {version} answers {text!r} from its demo")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def _run(image: Image, *command: str | Path) -> str:
    """Run a program of the image to its end in an empty folder, as a step of its build; return what it printed."""
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(command, cwd=empty, env=image.builder, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


@contextmanager
def _running(image: Image, command: Sequence[str]) -> Generator[int]:
    """Run a command of the image that serves; yield its port."""
    port = free_port()
    environment = {**image.container, "CODEX_OPENAI_PROXY_ADDR": f"127.0.0.1:{port}"}
    with subprocess.Popen(command, cwd=image.folder, env=environment) as server:
        try:
            yield port
        finally:
            server.terminate()
            server.wait(PATIENCE)


def _until_it_succeeds(image: Image, health: Sequence[str], port: int) -> None:
    """Wait until the image's health check succeeds for a server on this port."""
    command = [word.replace("11435", str(port)) for word in health]
    give_up = time.monotonic() + PATIENCE
    while subprocess.run(command, env=image.container, check=False, stderr=subprocess.DEVNULL).returncode:
        if time.monotonic() > give_up:
            raise SystemExit(f"the server does not become healthy: {' '.join(command)}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
