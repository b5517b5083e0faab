from __future__ import annotations

from typing import Any

from codex_rpc.recording.steps import Step, steps
from codex_rpc.wire.messages import Message, Response
from tests.codex_rpc.recording.thread_lines import (
    asks,
    called,
    completed,
    gives,
    inject,
    raw,
    refuses,
    said,
    session,
    start,
    started,
    to,
    turn,
    user,
)


def found(*messages: tuple[bool, Message]) -> list[Step]:
    return steps(session(messages))


def texts(step: Step) -> list[str]:
    """The items of a step, shortened: texts of messages, ids of calls and outputs."""
    return [_short(dict(item)) for item in step.view.items]


def _short(item: dict[str, Any]) -> str:
    match item:
        case {"type": "message", "content": [{"text": text}]}:
            return str(text)
        case {"type": "function_call", "call_id": call_id}:
            return f"call {call_id}"
        case {"type": "function_call_output", "call_id": call_id, "output": [{"text": text}]}:
            return f"output {call_id} {text}"
        case _:
            return str(item["type"])


OPENING = (start(effort="low"), started(), inject(2, user("go")), turn(3))


def test_a_turn_begins_a_step_with_all_injected_and_answered_items() -> None:
    one, other = found(*OPENING, said("gone"), completed(), inject(4, user("on")), turn(5))
    assert (one.line, texts(one)) == (3, ["go"])
    assert one.view.start == {"model": "m", "effort": "low"}
    assert (other.line, texts(other)) == (7, ["go", "gone", "on"])


def test_only_the_last_missing_output_begins_a_step() -> None:
    calls = (*OPENING, called("a"), called("b"), asks(0, "b"), gives(0, "2"), asks(1, "a"), gives(1, "1"))
    _, resumed = found(*calls)
    assert (resumed.line, texts(resumed)) == (9, ["go", "call a", "call b", "output b 2", "output a 1"])


def test_items_injected_while_outputs_are_missing_are_placed_after_them() -> None:
    _, resumed = found(*OPENING, called("a"), asks(0, "a"), inject(4, user("also")), gives(0, "1"))
    assert texts(resumed) == ["go", "call a", "output a 1", "also"]


def test_the_output_of_a_refused_call_is_the_refusal() -> None:
    _, resumed = found(*OPENING, called("a"), asks(0, "a"), refuses(0, "no"))
    assert texts(resumed) == ["go", "call a", "output a no"]


def test_the_model_does_not_wait_for_a_call_that_codex_answers_itself() -> None:
    own = raw(type="function_call_output", call_id="x", output=[{"text": "unknown"}])
    _, later = found(*OPENING, called("x"), own, said("well"), completed(), inject(4, user("on")), turn(5))
    assert texts(later) == ["go", "call x", "output x unknown", "well", "on"]


def test_echoes_of_injected_items_are_not_counted_twice() -> None:
    echo = raw("auto-compact-0", **user("go"))
    output = raw(type="function_call_output", call_id="a", output="1")
    opening = (start(), started(), inject(2, user("go")), echo, turn(3))
    _, resumed = found(*opening, called("a"), asks(0, "a"), gives(0, "1"), output, raw(**user("go")), completed())
    assert texts(resumed) == ["go", "call a", "output a 1"]


def test_images_are_outputs_too() -> None:
    image = {"contentItems": [{"type": "inputImage", "imageUrl": "data:x"}], "success": True}
    _, resumed = found(*OPENING, called("a"), asks(0, "a"), to(Response(0, image)))
    assert resumed.view.items[-1]["output"] == [{"type": "input_image", "image_url": "data:x"}]


def test_the_input_of_a_turn_is_a_message_of_the_user() -> None:
    given = {"type": "text", "text": "look"}, {"type": "image", "url": "data:image/png;base64,AA"}
    [step] = steps(session((start(), started(), inject(2, user("go")), turn(3, *given), completed())))
    content = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA"},
    ]
    assert step.view.items == (user("go"), {"type": "message", "role": "user", "content": content})
