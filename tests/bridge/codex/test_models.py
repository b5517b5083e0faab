from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.codex.models import NAMED, ModelChoice, ModelNames, looping_alias, means_an_agent, reverse
from bridge.config import NameStyle
from codex_rpc.wire.calls import Model

EFFORTS = ("low", "medium", "high", "xhigh")
MODELS = (
    Model("gpt-6", ("none", *EFFORTS), {"fast": "priority", "slow": "flex"}, hidden=False, is_default=True),
    Model("gpt-5.2-codex", EFFORTS, {"fast": "priority"}, hidden=False),
    Model("gpt-5.1-codex", EFFORTS, {}, hidden=True),
    Model("gpt-5.1-codex-max", (*EFFORTS, "max"), {}, hidden=False),
    Model("gpt-5.1-codex-mini", ("medium", "high"), {}, hidden=False),
    Model("gpt-5.2", EFFORTS, {}, hidden=False),
)
NAMES = ModelNames()
PIECES = ("gpt", "tpg", "5.2", "2.5", "5.1", "1.5", "6", "codex", "xedoc", "max", "xam", "mini", "inim")
SUFFIXES = ("high", "hgih", "low", "wol", "fast", "tsaf", "none", "enon", "", "slow")


def means(slug: str, effort: str | None = None, tier: str | None = None) -> ModelChoice:
    """Return a choice with all tiers of its model."""
    model = next(model for model in MODELS if model.slug == slug)
    return ModelChoice(slug, effort, tier, model.tiers, model.efforts)


MEANINGS = {
    "gpt-5.2-codex": means("gpt-5.2-codex"),
    "xedoc-2.5-tpg": means("gpt-5.2-codex"),
    "xam-xedoc-1.5-tpg": means("gpt-5.1-codex-max"),
    "inim-xedoc-1.5-tpg": means("gpt-5.1-codex-mini"),
    "2.5-tpg": means("gpt-5.2"),
    "gpt-5.2-codex-high": means("gpt-5.2-codex", "high"),
    "hgih-xedoc-2.5-tpg": means("gpt-5.2-codex", "high"),
    "xedoc-2.5-tpg-high": means("gpt-5.2-codex", "high"),
    "hgih-gpt-5.2-codex": means("gpt-5.2-codex", "high"),
    "gpt-5.2-codex-fast": means("gpt-5.2-codex", None, "priority"),
    "tsaf-xedoc-2.5-tpg": means("gpt-5.2-codex", None, "priority"),
    "xedoc-2.5-tpg-high-fast": means("gpt-5.2-codex", "high", "priority"),
    "gpt-5.2-codex-fast-high": means("gpt-5.2-codex", "high", "priority"),
    "tsaf-xedoc-2.5-tpg-high": means("gpt-5.2-codex", "high", "priority"),
    "gpt-5.1-codex-max": means("gpt-5.1-codex-max"),
    "gpt-5.1-codex-max-max": means("gpt-5.1-codex-max", "max"),
    "gpt-5.1-codex": means("gpt-5.1-codex"),
    "gpt-6-none": means("gpt-6", "none"),
    "enon-6-tpg": means("gpt-6", "none"),
    "codex": means("gpt-6"),
    "xedoc": means("gpt-6"),
    "xedoc-high": means("gpt-6", "high"),
    "hgih-xedoc": means("gpt-6", "high"),
    "codex-fast-low": means("gpt-6", "low", "priority"),
    "openai/gpt-5.2-codex": means("gpt-5.2-codex"),
    "openai/codex-high": means("gpt-6", "high"),
    "GPT-5.2": means("gpt-5.2"),
    " Gpt-5.2-Codex-High ": means("gpt-5.2-codex", "high"),
    "XEDOC-2.5-TPG\n": means("gpt-5.2-codex"),
}


@pytest.mark.parametrize(("name", "choice"), MEANINGS.items(), ids=MEANINGS.keys())
def test_a_name_means_a_model_its_effort_and_its_speed(name: str, choice: ModelChoice) -> None:
    assert NAMES.choose(name, MODELS) == choice


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-",
        "gpt-4o",
        "openai/",
        "openai/gpt-4o",
        "gpt-codex",
        "gpt-5.2-codex-",
        "-gpt-5.2-codex",
        "gpt-5.2-codex-hgih",
        "gpt-5.2-codex-max",
        "gpt-5.2-codex-high-low",
        "gpt-5.2-codex-high-high",
        "hgih-gpt-5.2-codex-high",
        "gpt-5.2-codex-fast-fast",
        "gpt-5.2-codex-high-fast-high",
        "gpt-5.2-fast",
        "gpt-6-slow",
        "gpt-5.1-codex-mini-low",
        "high",
    ],
)
def test_an_unknown_name_means_no_model(name: str) -> None:
    assert NAMES.choose(name, MODELS) is None


def test_no_name_means_a_model_before_codex_has_listed_its_models() -> None:
    assert NAMES.choose(NAMED[0], ()) is None


@st.composite
def names(draw: st.DrawFn) -> str:
    """A model's name, plain or reversed, with valid or invalid suffixes on both sides."""
    slug = draw(st.sampled_from([model.slug for model in MODELS]))
    some = st.lists(st.sampled_from(SUFFIXES), max_size=2)
    return "-".join([*draw(some), reverse(slug) if draw(st.booleans()) else slug, *draw(some)])


@settings(deadline=None)
@given(st.text() | st.lists(st.sampled_from((*PIECES, *SUFFIXES)), max_size=6).map("-".join) | names())
def test_a_reversed_name_means_the_same_model(name: str) -> None:
    assert NAMES.choose(reverse(name), MODELS) == NAMES.choose(name, MODELS)


@settings(deadline=None)
@given(model=st.sampled_from(MODELS), order=st.permutations(["effort", "fast"]), turned=st.booleans(), data=st.data())
def test_every_model_takes_each_of_its_efforts_and_its_speed_in_any_order(
    model: Model, order: list[str], turned: bool, data: st.DataObject
) -> None:
    effort = data.draw(st.sampled_from([None, *model.efforts]))
    fast = data.draw(st.sampled_from([None, "fast"])) if "fast" in model.tiers else None
    suffixes = [suffix for suffix in ({"effort": effort, "fast": fast}[kind] for kind in order) if suffix]
    slug = reverse(model.slug) if turned else model.slug
    assert NAMES.choose("-".join([slug, *suffixes]), MODELS) == means(model.slug, effort, "priority" if fast else None)


FOUR = ["xedoc-2.5-tpg", "xam-xedoc-1.5-tpg", "inim-xedoc-1.5-tpg", "2.5-tpg"]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("reversed", [*FOUR, "xedoc", "tsaf", "6-tpg"]),
        ("plain", [*NAMED, "codex", "fast", "gpt-6"]),
        ("both", [*FOUR, "xedoc", "tsaf", "6-tpg", *NAMED, "codex", "fast", "gpt-6"]),
    ],
)
def test_the_list_has_the_named_models_first_then_codex_the_aliases_and_the_others(
    style: NameStyle, expected: list[str]
) -> None:
    names = ModelNames({"fast": "gpt-6-low"}, style)
    assert names.listed(MODELS) == expected
    assert None not in [names.choose(name, MODELS) for name in expected]


def test_the_named_models_are_listed_before_codex_has_listed_its_models() -> None:
    assert NAMES.listed(())[:5] == [*FOUR, "xedoc"]


def test_only_what_the_login_has_is_offered() -> None:
    assert ModelNames({"fast": "codex"}).offered(MODELS) == ["codex", "fast", "gpt-6"]


@pytest.mark.parametrize(
    ("models", "slug"),
    [
        (MODELS, "gpt-6"),
        ([replace(model, is_default=False) for model in MODELS], "gpt-5.2-codex"),
        ([replace(MODELS[0], is_default=False)], "gpt-6"),
    ],
    ids=["marked", "none marked", "none marked or named"],
)
def test_codex_means_the_model_that_is_marked_as_default(models: Sequence[Model], slug: str) -> None:
    assert NAMES.choose("codex", models) == means(slug)


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("fast", means("gpt-6", "low")),
        ("tsaf", means("gpt-6", "low")),
        ("fast-fast", means("gpt-6", "low", "priority")),
        ("fast-high", None),
        ("GPT-4o", means("gpt-6")),
        ("o4-tpg-high", means("gpt-6", "high")),
        ("through", means("gpt-6", "low")),
        ("gpt-5.2", means("gpt-5.2-codex")),
        ("nothing", None),
    ],
)
def test_an_alias_means_its_model_with_effort_and_speed(name: str, choice: ModelChoice | None) -> None:
    aliases = {
        "fast": "gpt-6-low",
        "gpt-4o": "codex",
        "through": "FAST",
        "gpt-5.2": "openai/xedoc-2.5-tpg",
        "nothing": "gpt-1",
    }
    assert ModelNames(aliases).choose(name, MODELS) == choice


@pytest.mark.parametrize(
    ("aliases", "loops"),
    [
        ({"a": "b", "b": "c"}, False),
        ({"gpt-5.1-codex": "gpt-5.1-codex-max"}, False),
        ({"a": "a"}, True),
        ({"a": "b", "b": "A-high"}, True),
        ({"ab": "ba"}, True),
        ({"a": "hgih-b", "b": "openai/c", "c": "a-fast-low"}, True),
    ],
)
def test_aliases_that_lead_back_to_themselves_are_found(aliases: dict[str, str], loops: bool) -> None:
    assert (looping_alias(aliases) is not None) == loops
    assert ModelNames(aliases).choose("a", MODELS) is None


AGENTS = ModelNames(agents=("site", "docs"))


@pytest.mark.parametrize(
    ("name", "agent", "effort"),
    [
        ("codex-agent", "site", None),
        ("codex-agent-docs", "docs", None),
        ("Codex-Agent-Docs-High", "docs", "high"),
        ("openai/codex-agent-low", "site", "low"),
        ("tnega-xedoc", "site", None),
        ("hgih-scod-tnega-xedoc", "docs", "high"),
    ],
)
def test_an_agent_has_a_model_name_with_an_effort(name: str, agent: str, effort: str | None) -> None:
    choice = AGENTS.choose(name, MODELS)
    assert choice is not None
    assert (choice.agent, choice.effort, choice.slug) == (agent, effort, "")
    assert AGENTS.agent(name) == agent
    assert means_an_agent(name)


def test_an_alias_may_stand_for_an_agent() -> None:
    assert ModelNames({"helper": "codex-agent-docs-low"}, agents=("site", "docs")).agent("helper") == "docs"


@pytest.mark.parametrize("name", ["codex", "gpt-6", "codex-agent-nowhere", "xedoc", "codex-high"])
def test_other_names_mean_no_agent(name: str) -> None:
    assert AGENTS.agent(name) is None
    assert NAMES.agent("codex-agent") is None


ALIASES = {"quick": "gpt-5.1-codex-mini-high", "helper": "codex-agent-docs", "also": "gpt-6"}
LIMITED = ModelNames(ALIASES, "plain", agents=("site", "docs")).limited(("quick", "2.5-tpg", "helper"), ("docs",))


@pytest.mark.parametrize("name", ["quick", "gpt-5.1-codex-mini", "inim-xedoc-1.5-tpg-medium", "gpt-5.2", "2.5-tpg-low"])
def test_a_limited_client_may_use_its_models_under_every_name(name: str) -> None:
    choice = LIMITED.choose(name, MODELS)
    assert choice is not None
    assert choice.slug in {"gpt-5.1-codex-mini", "gpt-5.2"}
    assert not LIMITED.forbids(name, MODELS)


@pytest.mark.parametrize("name", ["gpt-6", "6-tpg", "codex", "xedoc-high", "also", "gpt-5.2-codex", "codex-agent"])
def test_a_limited_client_may_not_use_another_model_or_agent_under_any_name(name: str) -> None:
    assert LIMITED.choose(name, MODELS) is None
    assert LIMITED.forbids(name, MODELS)
    assert not LIMITED.forbids("gpt-7", MODELS)


@pytest.mark.parametrize("name", ["codex-agent-docs", "scod-tnega-xedoc-low", "helper"])
def test_the_models_of_a_limited_client_do_not_concern_its_agents(name: str) -> None:
    assert LIMITED.agent(name) == "docs"
    assert ModelNames(ALIASES, agents=("site", "docs")).limited((), ()).agent(name) is None


def test_a_limited_client_sees_only_the_names_that_it_may_use() -> None:
    assert LIMITED.listed(MODELS) == ["gpt-5.1-codex-mini", "gpt-5.2", "quick", "helper", "codex-agent-docs"]
    assert LIMITED.listed_agents() == ["codex-agent-docs"]
    assert NAMES.limited((), None) == NAMES
    assert NAMES.limited((), ()).listed(()) == NAMES.listed(())


def test_agents_are_listed_after_the_aliases() -> None:
    assert AGENTS.offered(MODELS)[:4] == ["codex", "codex-agent", "codex-agent-site", "codex-agent-docs"]
    assert not [name for name in NAMES.listed(MODELS) if "agent" in name or "tnega" in name]
