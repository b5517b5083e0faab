"""Finds the recorded exchange of a prompt, and the recorded step of a thread, among all cases.

The lookup compares model views. A `lenient` library ignores the model and its settings if no recording fits exactly.
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
from bridge.recordings import model_view
from bridge.recordings.cases import Case, RecordedExchange
from bridge.recordings.model_view import ComparableView
from bridge.recordings.redaction import Redactor
from codex_rpc.recording.player import PlayPosition, Session
from codex_rpc.recording.steps import ModelView, Step, steps
from codex_rpc.wire.calls import Model, model_list

MOST_COMPARED = 2000
"""Characters of the first different items that are compared to find the nearest case."""


class RecordedAnswer(Struct, frozen=True):
    """A recorded exchange; `step` is None if its answer was left over from the previous step."""

    case: Case
    exchange: RecordedExchange
    session: Session
    step: Step | None
    view: ComparableView | None


class Library:
    """Finds recordings; requests are redacted before the lookup, like the recordings."""

    def __init__(self, cases: Sequence[Case], redactor: Redactor, *, lenient: bool = False) -> None:
        self._redactor = redactor
        self._answers = [answer for case in cases for answer in _recorded_answers(case, redactor)]
        self._by_key: dict[bytes, list[RecordedAnswer]] = {}
        for answer in self._answers:
            if answer.view is not None:
                self._by_key.setdefault(model_view.key(answer.view), []).append(answer)
                self._by_key.setdefault(model_view.key(answer.view, settings=False), []).append(answer)
        self._positions: dict[bytes, PlayPosition] = {}
        for session in {answer.case.name: answer.session for answer in self._answers}.values():
            for step in session.steps:
                self._positions.setdefault(self._key(step.view), PlayPosition(session, step))
        self._chosen: dict[bytes, PlayPosition] = {}
        self._lenient = lenient
        self.models = _models(cases)
        self.agents = tuple(dict.fromkeys(case.agent for case in cases if case.agent is not None))
        """The names of the agents."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """The results of the played codex for calls without a thread, by method."""
        return {
            "initialize": {"userAgent": "replay"},
            "account/read": {"account": None, "requiresOpenaiAuth": False},
            "model/list": {"data": list(self.models.values())},
        }

    def listed(self) -> tuple[Model, ...]:
        """Return the models as codex would list them."""
        return model_list().read(self.facts["model/list"])

    def openings(self, *, of_agents: bool = False) -> Iterator[str]:
        """Yield the first messages that a model, or an agent, answers in a recording without tools or a schema."""
        for answer in self._answers:
            match answer.view:
                case {"items": [{"content": [{"text": str(text)}]}], "tools": [], "schema": None, "is_agent": is_agent}:
                    if is_agent is of_agents:
                        yield text
                case _:
                    pass

    def find(self, prompt: Prompt, body: Mapping[str, Any], *, is_agent: bool = False) -> RecordedAnswer:
        """Return the recorded exchange of a prompt; of several, prefer one that streams if `body` does.

        `is_agent` says that an agent answers the prompt.

        Raises:
            ApiError: 404, there is none; the message names the nearest one and its first difference.
        """
        wanted: ComparableView = self._redactor.json(model_view.of_prompt(prompt, is_agent=is_agent))
        key = model_view.key(wanted)
        found = self._by_key.get(key) or self._same_body(body)
        if not found and self._lenient:
            found = self._by_key.get(model_view.key(wanted, settings=False))
        if not found:
            raise self._no_recording(wanted)
        streamed = bool(body.get("stream"))
        answer = next((one for one in found if bool(one.exchange.request.get("stream")) is streamed), found[0])
        if answer.step is not None:
            self._chosen[key] = PlayPosition(answer.session, answer.step)
        return answer

    def choose(self, view: ModelView) -> PlayPosition | None:
        """Return the step for the view of a thread, preferably that of the last `find`; None if there is none."""
        key = self._key(view)
        return self._chosen.get(key) or self._positions.get(key)

    def _key(self, view: ModelView) -> bytes:
        return model_view.key(self._redactor.json(model_view.of_view(view)))

    def _same_body(self, body: Mapping[str, Any]) -> list[RecordedAnswer]:
        """Return the exchanges without a step, which are found by their request, whose request is `body`."""
        wanted = self._redactor.json(dict(body))
        return [one for one in self._answers if one.step is None and one.exchange.request == wanted]

    def _no_recording(self, wanted: ComparableView) -> ApiError:
        candidates = [one for one in self._answers if one.view is not None]
        if not candidates:
            return no_recording("There are no recordings.")
        nearest = max(candidates, key=lambda one: _similarity(one.view or {}, wanted))
        difference = model_view.first_difference(nearest.view, wanted)
        assert difference is not None
        number = nearest.case.exchanges.index(nearest.exchange) + 1
        message = (
            f"There is no recording of this request. Request {number} of the case {nearest.case.name!r} comes nearest; "
            f"it differs first at {difference.path}: the recording has {difference.one}, "
            f"the request has {difference.other}."
        )
        if self._lenient:
            texts = self.openings(of_agents=wanted["is_agent"])
            openings = ", ".join(dict.fromkeys(orjson.dumps(text).decode() for text in texts))
            message += f" This is a demo without a login; it can answer these messages: {openings}."
        return no_recording(message)


def no_recording(message: str) -> ApiError:
    """Return the error for a request that was not recorded."""
    return ApiError(404, "invalid_request_error", "no_recording", message)


def _recorded_answers(case: Case, redactor: Redactor) -> Iterator[RecordedAnswer]:
    found = tuple(steps(case.lines))
    session = Session(case.name, case.lines, found)
    ends = [*(one.line for one in case.exchanges[1:]), len(case.lines)]
    for exchange, end in zip(case.exchanges, ends, strict=True):
        step = next((one for one in found if exchange.line <= one.line < end), None)
        view = redactor.json(model_view.of_view(step.view)) if step else None
        yield RecordedAnswer(case, exchange, session, step, view)


def _models(cases: Sequence[Case]) -> dict[str, Any]:
    """Return the recorded models, and the named models, which are always listed."""
    unknown: dict[str, Any] = {"hidden": False, "supportedReasoningEfforts": [], "serviceTiers": []}
    named: dict[str, Any] = {slug: {"model": slug, **unknown} for slug in NAMED}
    return named | {case.model["model"]: dict(case.model) for case in cases if case.model}


def _similarity(one: ComparableView, other: ComparableView) -> tuple[float, ...]:
    """Compare by the number of common first items, then by the next item, then by the number of equal settings."""
    same = model_view.common_items(one, other)
    rest = [orjson.dumps(side["items"][same : same + 1]).decode()[:MOST_COMPARED] for side in (one, other)]
    ratio = SequenceMatcher(None, *rest, autojunk=False).ratio()
    return same, ratio, sum(one[name] == other[name] for name in one if name != "items"), -len(one["items"])
