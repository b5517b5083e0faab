from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bridge.config import ReasoningDisplay
from bridge.openai.reasoning_text import CLOSE, OPEN, ReasoningBlocks, strip_blocks

DISPLAYS: list[ReasoningDisplay] = ["think", "details"]
TEXTS = st.text() | st.lists(st.sampled_from([*OPEN.values(), *CLOSE.values(), "</", "<", "/", "\n", "x"])).map("".join)


def shown(display: ReasoningDisplay, *runs: tuple[list[str], str]) -> str:
    """The text of an answer: pieces of reasoning, then text, again and again."""
    blocks = ReasoningBlocks(display)
    return "".join("".join(map(blocks.reasoning, pieces)) + blocks.close() + text for pieces, text in runs)


def test_reasoning_stands_in_one_block_before_what_follows() -> None:
    assert shown("think", (["I ", "think."], "So."), ([], " Yes."), (["But"], "No.")) == (
        "<think>\nI think.\n</think>\n\nSo. Yes.<think>\nBut\n</think>\n\nNo."
    )
    assert shown("details", (["Hm."], "So.")) == "<details><summary>Reasoning</summary>\n\nHm.\n\n</details>\n\nSo."


@pytest.mark.parametrize("display", ["off", "reasoning_content"])
def test_other_displays_put_nothing_into_the_text_and_take_nothing_out(display: ReasoningDisplay) -> None:
    assert shown(display, (["Hm."], "So.")) == "So."
    assert strip_blocks("<think>\nHm.\n</think>\n\nSo.", display) == "<think>\nHm.\n</think>\n\nSo."


@pytest.mark.parametrize(("display", "other"), [("think", "details"), ("details", "think")])
def test_a_display_takes_out_no_block_of_another(display: ReasoningDisplay, other: ReasoningDisplay) -> None:
    text = shown(other, (["Hm."], "So."))
    assert strip_blocks(text, display) == text
    assert strip_blocks(text, other) == "So."


@given(st.sampled_from(DISPLAYS), st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
@example("think", [("a\n</think>\n\nb", "c")])
@settings(deadline=None)
def test_what_was_put_into_an_answer_is_taken_out_exactly(
    display: ReasoningDisplay, runs: list[tuple[str, str]]
) -> None:
    assume(not any(OPEN[display] in text for _, text in runs))
    text = shown(display, *(([reasoning], text) for reasoning, text in runs))
    assert strip_blocks(text, display) == "".join(text for _, text in runs)


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_closing_mark_in_pieces_of_reasoning_does_not_close_the_block(display: ReasoningDisplay) -> None:
    begin, mark, end = f"a{CLOSE[display]}b".partition("<")
    assert strip_blocks(shown(display, ([begin + mark, end], "So.")), display) == "So."


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_block_whose_end_a_client_cut_off_is_taken_out(display: ReasoningDisplay) -> None:
    assert strip_blocks(shown(display, (["Hm."], "")).rstrip(), display) == ""
