"""Generates docs/settings.md from the options of `serve`; `make settings` writes it."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.serve import serve
from bridge.settings.sources import ENVIRONMENT, NO_SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

HEAD = """\
# Settings

Generated from the code by `make settings`; a test checks that it is up to date.

Each can be given on the command line (`--addr`), in the environment (`CODEX_OPENAI_PROXY_ADDR`) or in a TOML file
(`addr`); the first of these that sets a value wins. To see all values and their sources:

```sh
codex-openai-proxy serve --print-config
```

The file is `config.toml` in this program's folder: `~/.config/codex-openai-proxy` on Linux,
`~/Library/Application Support/codex-openai-proxy` on macOS, `%APPDATA%\\codex-openai-proxy` on Windows; `--config FILE`
or `CODEX_OPENAI_PROXY_CONFIG` names another. The program's own data is in its state folder:
`~/.local/state/codex-openai-proxy` on Linux (`$XDG_STATE_HOME`), the folder above on macOS,
`%LOCALAPPDATA%\\codex-openai-proxy` on Windows.

```toml
addr = "127.0.0.1:11435"
reasoning = "think"
keep_alive = 5
```

Times are seconds, sizes bytes.

| setting | environment | default | what it does |
| --- | --- | --- | --- |
"""


def settings_page() -> str:
    """Return the text of the page."""
    options = (param for param in serve.params if isinstance(param, click.Option) and param.name not in NO_SETTINGS)
    return HEAD + "".join(_row(option) for option in options)


def _row(option: click.Option) -> str:
    name = option.name or ""
    assert option.envvar == ENVIRONMENT + name.upper()
    text, _, told = (option.help or "").partition("  [default: ")
    known = option.default if isinstance(option.default, str | int | float) else None
    default = told.removesuffix("]") if told else "none" if known is None else f"`{_shown(known)}`"
    kinds = option.type.choices if isinstance(option.type, click.Choice) else ()
    choices = f" One of {', '.join(f'`{kind}`' for kind in kinds)}." if kinds else ""
    return f"| `{option.opts[0]}` | `{option.envvar}` | {default} | {text}{choices} |\n"


def _shown(value: str | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
