from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
TEMPLATES = ("codex-openai-proxy.rb", "winget.yaml")
WORKFLOW = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")


def template(name: str) -> str:
    return (ROOT / "deploy" / "packages" / name).read_text(encoding="utf-8")


def test_the_release_fills_in_every_gap_of_the_templates() -> None:
    filled = set(re.findall(r"s\|@(\w+)@\|", WORKFLOW))
    gaps = {gap for name in TEMPLATES for gap in re.findall(r"@(\w+)@", template(name))}
    assert gaps == filled
    assert all(name in WORKFLOW for name in TEMPLATES)


def test_the_files_that_the_templates_name_are_those_of_the_release() -> None:
    urls = [url for name in TEMPLATES for url in re.findall(r"releases/download/v@VERSION@/([^\s\"]+)", template(name))]
    assert urls == ["codex_openai_proxy-@VERSION@.tar.gz", "codex-openai-proxy-windows-x64.zip"]
    assert all(url.replace("@VERSION@", "$version") in WORKFLOW for url in urls)


def test_the_winget_manifest_has_its_three_documents_of_one_package() -> None:
    documents = list(yaml.safe_load_all(template("winget.yaml").replace("@VERSION@", "1.2.3")))
    assert [document["ManifestType"] for document in documents] == ["version", "installer", "defaultLocale"]
    assert {(one["PackageIdentifier"], one["PackageVersion"], one["ManifestVersion"]) for one in documents} == {
        ("CodexOpenAIProxy.CodexOpenAIProxy", "1.2.3", "1.10.0")
    }


def test_the_formula_installs_from_files_that_the_source_distribution_has() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '--requirement", "requirements.lock' in template("codex-openai-proxy.rb")
    assert '"/requirements*.lock"' in project
