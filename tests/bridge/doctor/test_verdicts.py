"""What doctor says of the models that codex lists."""

from __future__ import annotations

import pytest

from bridge.codex.models import NAMED
from bridge.doctor.findings import Finding, fail, ok
from bridge.doctor.verdicts import judge_models
from codex_rpc.wire.calls import Model


def model(slug: str, *, is_default: bool = False) -> Model:
    return Model(slug, ("low", "high"), {}, hidden=False, is_default=is_default)


@pytest.mark.parametrize(
    ("slugs", "finding"),
    [
        (NAMED, ok("5, `codex` means gpt-7")),
        (
            NAMED[1:3],
            ok("3, `codex` means gpt-7; not for this login, and perhaps refused: gpt-5.2-codex, gpt-5.2"),
        ),
    ],
    ids=["all named models", "two of them"],
)
def test_the_named_models_that_a_login_lacks_are_reported(slugs: tuple[str, ...], finding: Finding) -> None:
    assert judge_models([*map(model, slugs), model("gpt-7", is_default=True)]) == finding


def test_a_login_without_any_model_is_a_fault() -> None:
    found = judge_models([])
    assert found == fail("codex lists no model for this login", "log in with another account, or update codex")
