"""All recorded cases as one value that can be asked: which exchange is this prompt's, which step is this view's.

A prompt is looked for by what the model sees. A library that is `lenient` overlooks how the model is run when nothing
fits exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import orjson
from msgspec import Struct

from bridge.codex.models import NAMED
from bridge.conversation.prompt import Prompt
from bridge.errors import ApiError
from bridge.recordings import model_view as seen
from bridge.recordings.cases import Case, RecordedExchange
from bridge.recordings.model_view import Seen
from bridge.recordings.redaction import Redactor
from codex_rpc.recording.player import PlayPosition, Session
from codex_rpc.recording.steps import ModelView, Step, steps
from codex_rpc.wire.calls import Model, model_list

MOST_COMPARED = 2000
"""Characters of what differs by which the nearest case is told from the others."""


class RecordedAnswer(Struct, frozen=True):
    """A recorded exchange; `step` is None when its answer was left over from the step before."""

    case: Case
    exchange: RecordedExchange
    session: Session
    step: Step | None
    seen: Seen | None


class Library:
    """Finds recordings; what is asked for is redacted first, as the recordings are."""

    def __init__(self, cases: Sequence[Case], redactor: Redactor, *, lenient: bool = False) -> None:
        self._redactor = redactor
        self._entries = [entry for case in cases for entry in _entries(case, redactor)]
        self._by_seen: dict[bytes, list[RecordedAnswer]] = {}
        for entry in self._entries:
            if entry.seen is not None:
                self._by_seen.setdefault(seen.key(entry.seen), []).append(entry)
                self._by_seen.setdefault(seen.key(entry.seen, settings=False), []).append(entry)
        self._positions: dict[bytes, PlayPosition] = {}
        for session in {entry.case.name: entry.session for entry in self._entries}.values():
            for step in session.steps:
                self._positions.setdefault(self._key(step.view), PlayPosition(session, step))
        self._chosen: dict[bytes, PlayPosition] = {}
        self._lenient = lenient
        self.models = _models(cases)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the played codex says about itself, by method."""
        return {
            "initialize": {"userAgent": "replay"},
            "account/read": {"account": None, "requiresOpenaiAuth": False},
            "model/list": {"data": list(self.models.values())},
        }

    def listed(self) -> tuple[Model, ...]:
        """The models as codex would list them."""
        return model_list().read(self.facts["model/list"])

    def openings(self) -> Iterator[str]:
        """The texts that begin a recorded conversation and need nothing else, for those who look for one that works."""
        for entry in self._entries:
            match entry.seen:
                case {"items": [{"content": [{"text": str(text)}]}], "tools": [], "schema": None}:
                    yield text
                case _:
                    pass

    def find(self, prompt: Prompt, body: Mapping[str, Any]) -> RecordedAnswer:
        """Return the recorded exchange of a prompt, of several the one whose request is most like `body`.

        Raises:
            ApiError: 404, there is none; the message names the nearest and what differs first.
        """
        wanted: Seen = self._redactor.json(seen.of_prompt(prompt))
        key = seen.key(wanted)
        found = self._by_seen.get(key) or self._same_body(body)
        if not found and self._lenient:
            found = self._by_seen.get(seen.key(wanted, settings=False))
        if not found:
            raise self._no_recording(wanted)
        streamed = bool(body.get("stream"))
        entry = next((one for one in found if bool(one.exchange.request.get("stream")) is streamed), found[0])
        if entry.step is not None:
            self._chosen[key] = PlayPosition(entry.session, entry.step)
        return entry

    def choose(self, view: ModelView) -> PlayPosition | None:
        """Return the step that answers what the model sees on a thread: the one that was found last, or any."""
        key = self._key(view)
        return self._chosen.get(key) or self._positions.get(key)

    def _key(self, view: ModelView) -> bytes:
        return seen.key(self._redactor.json(seen.of_view(view)))

    def _same_body(self, body: Mapping[str, Any]) -> list[RecordedAnswer]:
        """An exchange without a step of its own is known by its request alone."""
        wanted = self._redactor.json(dict(body))
        return [one for one in self._entries if one.step is None and one.exchange.request == wanted]

    def _no_recording(self, wanted: Seen) -> ApiError:
        candidates = [one for one in self._entries if one.seen is not None]
        if not candidates:
            return no_recording("There are no recordings.")
        nearest = max(candidates, key=lambda one: _likeness(one.seen or {}, wanted))
        difference = seen.first_difference(nearest.seen, wanted)
        assert difference is not None
        number = nearest.case.exchanges.index(nearest.exchange) + 1
        message = (
            f"There is no recording of this request. Request {number} of the case {nearest.case.name!r} comes nearest; "
            f"it differs first at {difference.path}: recorded is {difference.one}, asked was {difference.other}."
        )
        if self._lenient:
            openings = ", ".join(dict.fromkeys(orjson.dumps(text).decode() for text in self.openings()))
            message += f" This is a demo without a login; it has an answer to these messages: {openings}."
        return no_recording(message)


def no_recording(message: str) -> ApiError:
    """What is asked was never recorded."""
    return ApiError(404, "invalid_request_error", "no_recording", message)


def _entries(case: Case, redactor: Redactor) -> Iterator[RecordedAnswer]:
    found = tuple(steps(case.lines))
    session = Session(case.name, case.lines, found)
    ends = [*(one.line for one in case.exchanges[1:]), len(case.lines)]
    for exchange, end in zip(case.exchanges, ends, strict=True):
        step = next((one for one in found if exchange.line <= one.line < end), None)
        yield RecordedAnswer(case, exchange, session, step, redactor.json(seen.of_view(step.view)) if step else None)


def _models(cases: Sequence[Case]) -> dict[str, Any]:
    """The four named models are always listed, so they are always there."""
    unknown: dict[str, Any] = {"hidden": False, "supportedReasoningEfforts": [], "serviceTiers": []}
    named: dict[str, Any] = {slug: {"model": slug, **unknown} for slug in NAMED}
    return named | {case.model["model"]: dict(case.model) for case in cases if case.model}


def _likeness(one: Seen, other: Seen) -> tuple[float, ...]:
    """The more items both begin with the nearer; then how alike the next ones are; then how much else is equal."""
    same = seen.common_items(one, other)
    rest = [orjson.dumps(side["items"][same : same + 1]).decode()[:MOST_COMPARED] for side in (one, other)]
    ratio = SequenceMatcher(None, *rest, autojunk=False).ratio()
    return same, ratio, sum(one[name] == other[name] for name in one if name != "items"), -len(one["items"])
