"""Compaction items in the input, and what takes their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conversation.events import Failed, Finished, ItemDone, ReasoningDelta, TextDelta, Used
from bridge.conversation.prompt import Item, message
from bridge.errors import ApiError, upstream_failed
from bridge.openai.responses.compaction import PREFACE, Compacted, condensed, placeholder
from bridge.openai.responses.compaction_writers import CompactionWriter, Summary
from bridge.openai.responses.fields import CompactFields, read_body
from bridge.openai.responses.input import Recent
from bridge.openai.responses.request import ResponseRequest, begin
from bridge.store.seal import Seal, new_key
from codex_rpc.wire.events import TokenUsage
from tests.integration.test_chat import tiny_png

SEAL = Seal(new_key())
RULES, HELLO, MORE = (message(role, text) for role, text in (("developer", "Be."), ("user", "Hi."), ("user", "More.")))
ANSWER = message("assistant", "Hello.")
CALL: Item = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
OUTPUT: Item = {"type": "function_call_output", "call_id": "c", "output": "seen"}


def compacted(summary: str, *kept: Item) -> dict[str, Any]:
    """Return a compaction item as a client sends it back."""
    sealed = SEAL.close(Compacted(summary, kept).dumped())
    return {"type": "compaction", "id": "cmp_1", "encrypted_content": sealed}


def said(summary: str) -> Item:
    return message("user", PREFACE + summary)


def read(*items: Any, history: Sequence[Any] = (), recent: Recent | None = None, **fields: Any) -> ResponseRequest:
    body = read_body({"model": "m", "input": [*items], **fields})
    return begin(body, history, recent, SEAL.open).read({})


def test_an_item_takes_the_place_of_everything_before_it_but_the_messages_of_user_and_developer() -> None:
    asked = read(HELLO, RULES, ANSWER, CALL, OUTPUT, compacted("Seen."), MORE, instructions="Always.")
    assert asked.items == (message("developer", "Always."), HELLO, RULES, said("Seen."), MORE)


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ([], [RULES, HELLO]),
        ([HELLO], [RULES, HELLO]),
        ([RULES, HELLO], [RULES, HELLO]),
        ([MORE, HELLO], [RULES, MORE, HELLO]),
    ],
    ids=["dropped", "in-part", "sent-again", "with-others"],
)
def test_messages_that_the_client_dropped_come_back_and_none_comes_twice(sent: list[Item], seen: list[Item]) -> None:
    asked = read(*sent, ANSWER, compacted("Seen.", RULES, HELLO), ANSWER, MORE)
    assert asked.items == (*seen, said("Seen."), ANSWER, MORE)


def test_a_later_item_replaces_an_earlier_one_and_keeps_its_messages() -> None:
    asked = read(HELLO, compacted("First.", RULES), ANSWER, compacted("Second."), MORE)
    assert asked.items == (RULES, HELLO, said("Second."), MORE)


def test_a_call_without_a_result_before_an_item_is_part_of_the_summary() -> None:
    assert read(HELLO, CALL, compacted("It looks."), MORE).items == (HELLO, said("It looks."), MORE)
    with pytest.raises(ApiError, match="no open tool call"):
        read(HELLO, CALL, compacted("It looks."), OUTPUT)


def test_an_item_that_comes_after_a_known_beginning_is_read_as_in_a_new_input() -> None:
    recent, items = Recent(), [HELLO, ANSWER, MORE]
    read(*items, recent=recent, instructions="Always.")
    items += [ANSWER, compacted("Seen.", RULES), HELLO]
    again = read(*items, recent=recent, instructions="Always.")
    assert again.items == (message("developer", "Always."), RULES, HELLO, MORE, said("Seen."), HELLO)
    assert again.items == read(*items, instructions="Always.").items
    items += [ANSWER, MORE]
    assert read(*items, recent=recent, instructions="Always.").items == (*again.items, ANSWER, MORE)


@pytest.mark.parametrize(
    "sealed", ["", "gAAAAABpM0Yj-...=", Seal(new_key()).close('["hi", []]')], ids=["empty", "openai", "key"]
)
def test_an_item_from_elsewhere_is_refused_with_its_place(sealed: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(HELLO, {"type": "compaction", "encrypted_content": sealed}, history=[HELLO, ANSWER])
    assert (caught.value.status, caught.value.code) == (400, "invalid_encrypted_content")
    assert caught.value.param == "input[1].encrypted_content"


def test_a_trigger_must_be_the_last_item_and_have_something_before_it() -> None:
    trigger = {"type": "compaction_trigger"}
    assert read(HELLO, ANSWER, trigger).compacts
    assert read(trigger, history=[HELLO, ANSWER]).items == (HELLO, ANSWER)
    assert not read(HELLO).compacts
    for items, param in (([trigger, HELLO], "input[0].type"), ([trigger], "input")):
        with pytest.raises(ApiError) as caught:
            read(*items)
        assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("management", "threshold", "ignored"),
    [
        ([{"type": "compaction", "compact_threshold": 1000}], 1000, ()),
        ([{"type": "compaction", "compact_threshold": 9}, {"type": "compaction", "compact_threshold": 5}], 5, ()),
        ([{"type": "compaction"}], None, ("context_management[].type",)),
        ([{"type": "clear_tool_uses", "compact_threshold": 9}], None, ("context_management[].type",)),
        ([], None, ()),
        (None, None, ()),
    ],
)
def test_context_management_is_read_or_named_as_ignored(
    management: Any, threshold: int | None, ignored: tuple[str, ...]
) -> None:
    asked = read(HELLO, context_management=management)
    assert (asked.compact_threshold, asked.ignored) == (threshold, ignored)


def test_a_request_to_compact_needs_a_model_and_a_conversation_and_ignores_the_form_of_an_answer() -> None:
    refused: list[dict[str, Any]] = [{"input": "Hi."}, {"model": "m"}, {"model": "m", "input": []}]
    for body in refused:
        with pytest.raises(ApiError) as caught:
            begin(read_body(body, CompactFields))
        assert caught.value.status == 400
    body = {"model": "m", "previous_response_id": "resp_1", "text": {"format": {"type": "text"}}, "top_p": 0.5}
    assert begin(read_body(body, CompactFields), [HELLO]).read({}).ignored == ("text", "top_p")


# ── Pure parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

ITEMS = st.lists(
    st.one_of(
        st.sampled_from([RULES, HELLO, MORE, ANSWER, CALL, OUTPUT]),
        st.lists(st.sampled_from([RULES, HELLO, MORE]), max_size=2).map(lambda kept: placeholder(Compacted("S", kept))),
    )
)


@given(ITEMS)
def test_condensed_items_hold_every_message_and_nothing_else_before_the_summary(items: list[Item]) -> None:
    seen = condensed(items)
    places = [place for place, item in enumerate(items) if item["type"] == "compaction"]
    if not places:
        assert seen == items
        return
    last = places[-1]
    summary = seen.index(said("S"))
    assert seen[summary + 1 :] == items[last + 1 :]
    before = [item for item in items[:last] if item.get("role") in {"user", "developer"}]
    kept = [one for place in places for one in items[place]["kept"]]
    assert seen[summary - len(before) : summary] == before
    assert all(one in seen[:summary] for one in kept)
    assert all(one in kept for one in seen[: summary - len(before)])
    assert condensed(seen) == seen


def test_a_compaction_is_one_item_that_holds_the_summary_and_the_messages_of_user_and_developer() -> None:
    image = {"type": "input_image", "image_url": tiny_png()}
    shown: Item = {"type": "message", "role": "user", "content": [image]}
    writer = CompactionWriter("k", 17, [RULES, said("Old."), HELLO, ANSWER, shown], SEAL.close)
    assert writer.feed([ReasoningDelta("Hm."), TextDelta("They greet"), TextDelta("ed. ")]) == b""
    body = orjson.loads(writer.feed([Used(TokenUsage(7, 1, 3, 2)), Finished("stop")]))
    [item] = body.pop("output")
    assert body == {
        "id": "resp_k",
        "object": "response.compaction",
        "created_at": 17,
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 10,
        },
    }
    assert item.keys() == {"id", "type", "encrypted_content"}
    assert (item["id"], item["type"]) == ("cmp_k_0", "compaction")
    assert Compacted.opened(item["encrypted_content"], SEAL.open, "") == Compacted(
        "They greeted.", [RULES, HELLO, shown]
    )
    assert read(item, MORE).items == (RULES, HELLO, shown, said("They greeted."), MORE)


def test_messages_of_a_summary_are_told_apart_and_one_that_is_not_complete_is_no_summary() -> None:
    summary = Summary()
    summary.feed([TextDelta("One."), ItemDone(ANSWER), TextDelta("Two."), ItemDone(ANSWER), Finished("stop")])
    assert summary.text == "One.\n\nTwo."
    for reason in ("length", "content_filter", "tool_calls"):
        with pytest.raises(ApiError) as caught:
            Summary().feed([TextDelta("One."), Finished(reason)])
        assert caught.value.status == 502
    with pytest.raises(ApiError):
        Summary().feed([Finished("stop")])
    with pytest.raises(ApiError, match="broken"):
        Summary().feed([Failed(upstream_failed("broken"))])
    cancelled = Summary()
    cancelled.feed([TextDelta("One."), Finished("cancelled")])
    assert (cancelled.ended, cancelled.text) == (True, None)
