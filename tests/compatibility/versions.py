"""Gets codex by path or by version: a wheel from PyPI, else a package from npm, kept in `build/codex`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from codex_rpc.process.process import find_codex

FOLDER = Path("build/codex")


def codex_of(name: str) -> Path:
    """Return the executable of a codex, given its path or its version; a version is downloaded at most once.

    Raises:
        SystemExit: no registry has this version.
    """
    if Path(name).is_file():
        return Path(name).resolve()
    folder = (FOLDER / name).resolve()
    for install in ([], _pip(name, folder), _npm(name, folder)):
        if not install or subprocess.run(install, capture_output=True, check=False).returncode == 0:
            found = [path for path in folder.rglob("codex") if path.is_file() and "node_modules/.bin" not in str(path)]
            if found:
                return find_codex(str(found[0]))
    raise SystemExit(f"neither PyPI nor npm has codex {name}")


def _pip(version: str, folder: Path) -> list[str]:
    wheel = f"openai-codex-cli-bin=={version}"
    return [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), wheel]


def _npm(version: str, folder: Path) -> list[str]:
    return ["npm", "install", "--silent", "--prefix", str(folder), f"@openai/codex@{version}"]
