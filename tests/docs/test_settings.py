"""Pages that are generated from the code, or that list parts of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

from bridge.cli import main
from bridge.doctor.checks import CHECKS, LONG_CHECKS
from bridge.doctor.symptoms import SYMPTOMS
from tests.docs.settings_page import PAGE, settings_page

ROOT = Path(__file__).parents[2]


def test_the_settings_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "run `make settings`"


def test_trouble_shooting_has_every_check_and_every_symptom() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].split() for line in page.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == [check.id for check in (*CHECKS, *LONG_CHECKS)]
    for symptom in SYMPTOMS:
        assert f"| {symptom.message} | {symptom.means} | {symptom.fix} |\n" in page


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_names_every_command(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert [command for command in main.commands if f"`{command}`" not in text] == []


def test_both_readmes_show_the_same() -> None:
    """Code, links and pictures, in the same order; comments may be translated."""

    def shown(name: str) -> list[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        code = [block.partition("#")[0] for block in text.split("```")[1::2]]
        return code + [part.partition(")")[0] for part in text.split("](")[1:] if "README" not in part[:16]]

    english, chinese = shown("README.md"), shown("README.zh-CN.md")
    assert english == chinese


def test_the_compose_file_requires_a_key_and_a_tunnel_over_http_2() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert "CODEX_OPENAI_PROXY_API_KEY" in services["server"]["environment"]
    assert "--protocol http2" in services["tunnel"]["command"]


def test_the_image_copies_existing_files_and_what_the_wheel_needs() -> None:
    copied = [
        source
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ")
        for source in line.split()[1:-1]
    ]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert all((ROOT / source).exists() for source in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"]} <= allowed
