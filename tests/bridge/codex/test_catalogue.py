from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.codex.catalogue import UNBOUNDED, client_models, command_line, plain_catalogue, read_catalogue
from bridge.codex.models import NAMED

SHIPPED = {
    "slug": "gpt-6",
    "display_name": "GPT 6",
    "description": "The newest.",
    "upgrade": {"to": "gpt-7"},
    "supported_reasoning_levels": [{"effort": "low"}],
    "use_responses_lite": False,
    "tool_mode": "code_mode_only",
    "multi_agent_version": "v2",
    "apply_patch_tool_type": "freeform",
    "experimental_supported_tools": ["view_image"],
    "supports_search_tool": True,
    "default_verbosity": "low",
    "truncation_policy": {"mode": "tokens", "limit": 10_000},
    "context_window": 272_000,
    "max_context_window": 272_000,
    "auto_compact_token_limit": 200_000,
}
PLAIN = {
    **SHIPPED,
    "tool_mode": "direct",
    "multi_agent_version": "disabled",
    "apply_patch_tool_type": None,
    "experimental_supported_tools": [],
    "supports_search_tool": False,
    "default_verbosity": None,
    "truncation_policy": {"mode": "bytes", "limit": UNBOUNDED},
    "context_window": UNBOUNDED,
    "max_context_window": UNBOUNDED,
    "auto_compact_token_limit": UNBOUNDED,
}


def rewritten(*models: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """Return the models of the rewritten catalogue."""
    catalogue = json.loads(plain_catalogue(read_catalogue(json.dumps({"models": models, **more}).encode())))
    assert set(catalogue) == {"models"}
    return catalogue["models"]


OF_NAMED = {"description": "", "upgrade": None, "supports_image_detail_original": False}


def named(slug: str) -> dict[str, Any]:
    """Return a named model that codex no longer ships, as the catalogue has it."""
    return {**PLAIN, "slug": slug, "display_name": slug, **OF_NAMED}


def test_a_model_loses_the_tools_roles_limits_and_preferences_of_codex() -> None:
    assert rewritten(SHIPPED, fetched_at="today") == [PLAIN, *(named(slug) for slug in NAMED)]


def test_a_missing_field_of_a_model_is_added() -> None:
    plain_alone = {key: value for key, value in PLAIN.items() if SHIPPED[key] != value}
    assert rewritten({"slug": "gpt-6"})[0] == {"slug": "gpt-6", **plain_alone}


def test_a_named_model_that_codex_ships_keeps_its_entry() -> None:
    models = rewritten(SHIPPED, {**SHIPPED, "slug": NAMED[1], "description": "Still there."})
    assert [model["slug"] for model in models] == ["gpt-6", NAMED[1], NAMED[0], NAMED[2], NAMED[3]]
    assert models[1] == {**PLAIN, "slug": NAMED[1], "description": "Still there."}


def test_an_added_model_is_copied_from_an_ordinary_one() -> None:
    lite = {**SHIPPED, "slug": "gpt-6-lite", "use_responses_lite": True, "supported_reasoning_levels": []}
    assert rewritten(lite, SHIPPED)[2:] == [named(slug) for slug in NAMED]


@pytest.mark.parametrize(
    "printed",
    [
        b"",
        b"error: no network",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"models": null}',
        b'{"models": []}',
        b'{"models": [7]}',
        b'{"models": ["gpt-6"]}',
        b'{"models": [{"display_name": "GPT 6"}]}',
        b'{"models": [{"slug": ["gpt-6"]}]}',
        b'{"models": [{"slug": "gpt-6-lite", "use_responses_lite": true}]}',
    ],
    ids=[
        "empty",
        "no JSON",
        "no UTF-8",
        "array",
        "null",
        "no models",
        "null models",
        "empty models",
        "number",
        "text",
        "no slug",
        "slug is no text",
        "no ordinary model",
    ],
)
def test_invalid_catalogues_are_refused(printed: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_catalogue(printed)


def test_clients_get_each_model_unchanged_under_both_of_its_names() -> None:
    models = read_catalogue(json.dumps({"models": [{"slug": "gpt-6", "tool_mode": "code_mode_only"}]}).encode())
    shown = client_models(models)
    assert shown[:2] == [
        {"slug": "gpt-6", "tool_mode": "code_mode_only"},
        {"slug": "6-tpg", "tool_mode": "code_mode_only"},
    ]
    assert [model["slug"] for model in shown[2:4]] == ["gpt-5.2-codex", "xedoc-2.5-tpg"]
    assert len(shown) == 2 * (1 + len(NAMED))


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda some: (
            st.lists(some, max_size=3)
            | st.dictionaries(st.sampled_from(["models", "slug", "use_responses_lite"]), some, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_random_json_is_a_catalogue_or_refused(value: Any) -> None:
    try:
        rewrote = plain_catalogue(read_catalogue(json.dumps(value).encode()))
    except ValueError:
        return
    assert {model["slug"] for model in json.loads(rewrote)["models"]} >= set(NAMED)


def settings_of(command: list[str]) -> dict[str, Any]:
    program, subcommand, *options = command
    assert (program, subcommand) == ("/usr/bin/codex", "app-server")
    assert set(options[::2]) == {"-c"}
    return tomllib.loads("\n".join(options[1::2]))


@pytest.mark.parametrize(
    "path",
    ["/tmp/models.json", 'C:\\Users\\"Jürgen"\\models.json', "/tmp/a b/#=[x]/models.json"],
    ids=["plain", "Windows", "with special characters"],
)
def test_the_command_switches_off_codexs_features_and_limits(path: str) -> None:
    assert settings_of(command_line("/usr/bin/codex", path)) == {
        "model_catalog_json": path,
        "notify": [],
        "thread_unload_delay_secs": 1,
        "tool_output_token_limit": UNBOUNDED,
        "model_context_window": UNBOUNDED,
        "model_auto_compact_token_limit": UNBOUNDED,
        "model_post_turn_compact_threshold_percent": 0,
        "project_root_markers": [],
        "project_doc_max_bytes": 0,
        "include_environment_context": False,
        "include_permissions_instructions": False,
        "include_apps_instructions": False,
        "include_collaboration_mode_instructions": False,
        "skills": {"include_instructions": False, "bundled": {"enabled": False}},
        "model_reasoning_summary": "none",
        "features": {
            "apps": False,
            "browser_use": False,
            "code_mode_host": False,
            "computer_use": False,
            "default_mode_request_user_input": False,
            "goals": False,
            "hooks": False,
            "image_generation": False,
            "memories": False,
            "multi_agent": False,
            "plugins": False,
            "remote_plugin": False,
            "shell_snapshot": False,
            "shell_tool": False,
            "skill_search": False,
            "sleep_tool": False,
            "tool_suggest": False,
            "unified_exec": False,
            "unified_image_budget": False,
            "view_image": False,
            "workspace_dependencies": False,
        },
    }


def test_the_command_overrides_other_configuration_and_keeps_every_switch() -> None:
    overruled = {"model_verbosity": "medium", "mcp_servers": {"a.b": {"command": "false", "enabled": False}}}
    features = {"multi_agent_v2": False, "incremental_tools": True, "shell_tool": True}
    plain = settings_of(command_line("/usr/bin/codex", "/models"))
    found = settings_of(command_line("/usr/bin/codex", "/models", overruled, features))
    assert found.pop("features") == {**features, **plain.pop("features")}
    assert found == {**plain, **overruled}
