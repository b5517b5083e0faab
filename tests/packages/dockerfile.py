"""Follows a Dockerfile in a scratch folder, without Docker, with the Python that runs here as its base image."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

VENV = (sys.executable, "-m", "venv")
"""Makes an environment in the folder that is its last argument."""
USERADD = """\
#!/bin/sh
for name; do :; done
mkdir -p "{root}/home/$name"
"""
"""Stands in for the program that only root may use; its last argument is the name."""


class Image:
    """What the instructions of a Dockerfile made: a file tree under `root`, and the commands of its container."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root
        self.command: list[str] = []
        self.health: list[str] = []
        self._programs = root / "usr" / "bin"
        self._programs.mkdir(parents=True)
        (self._programs / "useradd").write_text(USERADD.format(root=root))
        (self._programs / "useradd").chmod(0o755)
        subprocess.run([*VENV, root / "python"], check=True)

    @property
    def builder(self) -> dict[str, str]:
        """The variables of the build: this user's, for pip may need them, and the image's own programs first."""
        return {**os.environ, "PATH": self.container["PATH"]}

    @property
    def container(self) -> dict[str, str]:
        """The variables of a container: none of this user's, and the image's own programs first."""
        path = f"{self.root / 'python' / 'bin'}:{self._programs}:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.root / "home" / "proxy")}

    def build(self, dockerfile: Path) -> None:
        """Carry out the instructions.

        Raises:
            CalledProcessError: a command failed.
            LookupError: an instruction is not known here, or a file to copy is missing or excluded.
        """
        context = dockerfile.parent
        ignored = _patterns(context / ".dockerignore")
        for instruction, text in instructions(dockerfile.read_text(encoding="utf-8")):
            match instruction:
                case "FROM" | "USER" | "VOLUME" | "EXPOSE":
                    pass  # this Python, this user and this network stand in
                case "WORKDIR":
                    self.folder = self._inside(text)
                    self.folder.mkdir(parents=True, exist_ok=True)
                case "COPY":
                    *sources, target = shlex.split(text)
                    for source in sources:
                        self._copy(context, source, self.folder / target, ignored)
                case "RUN":
                    subprocess.run(self._moved(text), shell=True, check=True, cwd=self.folder, env=self.builder)  # noqa: S602
                case "CMD":
                    self.command = json.loads(text)
                case "HEALTHCHECK":
                    self.health = json.loads(text.partition("CMD ")[2])
                case _:
                    raise LookupError(f"tests/packages/dockerfile.py does not know the instruction {instruction}")

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _moved(self, command: str) -> str:
        """Return a command with its absolute paths under `root`."""
        return re.sub(r"(?<![\w./-])/(?=home|srv)", f"{self.root}/", command)

    def _copy(self, context: Path, source: str, target: Path, ignored: list[tuple[str, bool]]) -> None:
        found = [
            path
            for path in sorted((context / source).rglob("*") if (context / source).is_dir() else [context / source])
            if path.is_file() and not _is_ignored(path.relative_to(context), ignored)
        ]
        if not found:
            raise LookupError(f"the Dockerfile copies {source}, which .dockerignore excludes or which is not there")
        for path in found:
            if (context / source).is_dir():
                into = target / path.relative_to(context / source)
            else:
                into = target / path.name if target.is_dir() else target
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, into)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the arguments of each instruction; continued lines are joined, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        name, _, arguments = line.strip().partition(" ")
        yield name.upper(), arguments.strip()


def _patterns(file: Path) -> list[tuple[str, bool]]:
    """Return the patterns of a .dockerignore, and whether each excludes."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return [(line.lstrip("!"), not line.startswith("!")) for line in lines if line]


def _is_ignored(path: Path, patterns: list[tuple[str, bool]]) -> bool:
    """Return whether the last pattern that matches the path, or a folder that it is in, excludes it."""
    result = False
    for pattern, excludes in patterns:
        names = path.parts if pattern.startswith("**/") else path.parts[:1]
        if any(fnmatch(name, pattern.removeprefix("**/")) for name in names):
            result = excludes
    return result
