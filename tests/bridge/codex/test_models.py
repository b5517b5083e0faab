from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.codex.models import NAMED, ModelChoice, choose, listed, reverse
from codex_rpc.wire.calls import Model

EFFORTS = ("low", "medium", "high", "xhigh")
MODELS = (
    Model("gpt-6", ("none", *EFFORTS), {"fast": "priority", "slow": "flex"}, hidden=False),
    Model("gpt-5.2-codex", EFFORTS, {"fast": "priority"}, hidden=False),
    Model("gpt-5.1-codex", EFFORTS, {}, hidden=True),
    Model("gpt-5.1-codex-max", (*EFFORTS, "max"), {}, hidden=False),
    Model("gpt-5.1-codex-mini", ("medium", "high"), {}, hidden=False),
    Model("gpt-5.2", EFFORTS, {}, hidden=False),
)
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
}


@pytest.mark.parametrize(("name", "choice"), MEANINGS.items(), ids=MEANINGS.keys())
def test_a_name_means_a_model_its_effort_and_its_speed(name: str, choice: ModelChoice) -> None:
    assert choose(name, MODELS) == choice


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-",
        "gpt-4o",
        "GPT-5.2",
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
    assert choose(name, MODELS) is None


def test_no_name_means_a_model_before_codex_has_listed_its_models() -> None:
    assert choose(NAMED[0], ()) is None


@st.composite
def names(draw: st.DrawFn) -> str:
    """A model's name, plain or reversed, with valid or invalid suffixes on both sides."""
    slug = draw(st.sampled_from([model.slug for model in MODELS]))
    some = st.lists(st.sampled_from(SUFFIXES), max_size=2)
    return "-".join([*draw(some), reverse(slug) if draw(st.booleans()) else slug, *draw(some)])


@settings(deadline=None)
@given(st.text() | st.lists(st.sampled_from((*PIECES, *SUFFIXES)), max_size=6).map("-".join) | names())
def test_a_reversed_name_means_the_same_model(name: str) -> None:
    assert choose(reverse(name), MODELS) == choose(name, MODELS)


@settings(deadline=None)
@given(model=st.sampled_from(MODELS), order=st.permutations(["effort", "fast"]), turned=st.booleans(), data=st.data())
def test_every_model_takes_each_of_its_efforts_and_its_speed_in_any_order(
    model: Model, order: list[str], turned: bool, data: st.DataObject
) -> None:
    effort = data.draw(st.sampled_from([None, *model.efforts]))
    fast = data.draw(st.sampled_from([None, "fast"])) if "fast" in model.tiers else None
    suffixes = [suffix for suffix in ({"effort": effort, "fast": fast}[kind] for kind in order) if suffix]
    slug = reverse(model.slug) if turned else model.slug
    assert choose("-".join([slug, *suffixes]), MODELS) == means(model.slug, effort, "priority" if fast else None)


def test_the_list_has_the_named_models_first_then_codexs_all_reversed() -> None:
    assert listed(MODELS) == ["xedoc-2.5-tpg", "xam-xedoc-1.5-tpg", "inim-xedoc-1.5-tpg", "2.5-tpg", "6-tpg"]


def test_the_named_models_are_listed_before_codex_has_listed_its_models() -> None:
    assert listed(()) == ["xedoc-2.5-tpg", "xam-xedoc-1.5-tpg", "inim-xedoc-1.5-tpg", "2.5-tpg"]


def test_every_listed_name_means_a_model() -> None:
    assert [choose(name, MODELS) for name in listed(MODELS)] == [
        means(slug) for slug in ("gpt-5.2-codex", "gpt-5.1-codex-max", "gpt-5.1-codex-mini", "gpt-5.2", "gpt-6")
    ]
