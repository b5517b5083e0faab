"""Plays codex from recorded sessions: takes our lines and the time, and returns codex's lines when they are due.

Does no IO and looks at no clock. The rules:

1. Questions about the process itself are answered from a table.
2. When the model should run, `choose` picks the recorded step that fits what the model is shown. If it finds none after
   a tool output, the next step of the thread's own session is played.
3. A recorded line is played only after our line that it followed: a step stops at each answer that codex waited for,
   and continues when we have given that answer.
4. The ids of requests, threads and turns are the player's own, not the recorded ones.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from codex_rpc.errors import INVALID_REQUEST, ProtocolError
from codex_rpc.recording.session import Line, is_echo, thread_of
from codex_rpc.recording.steps import ModelView, ModelViewTracker, Step
from codex_rpc.wire.messages import ErrorResponse, Message, Notification, Request, RequestId, Response, decode, encode


class Session(Struct, frozen=True):
    """A recorded thread."""

    name: str
    lines: tuple[Line, ...]
    steps: tuple[Step, ...]


class PlayPosition(Struct, frozen=True):
    """The session and the step at which to begin."""

    session: Session
    step: Step


Choose: TypeAlias = Callable[[ModelView], "PlayPosition | None"]


class _Thread(Struct):
    id: str
    tracker: ModelViewTracker
    turn_id: str | None = None
    over: float = 0.0
    """When the turn is over: in the past, when its last line is due, or infinity."""
    playing: PlayPosition | None = None
    """The step that is being played, or was played last."""
    position: int = 0
    """The index of the line of ours after which to continue."""
    awaited: RequestId | None = None
    """The recorded id of the request that must be answered before the next line."""
    asked: dict[RequestId, RequestId] = field(default_factory=dict[RequestId, RequestId])
    """The open requests: the id that the player gave them → the recorded id."""


class Player:
    """All threads of one played process.

    `facts` are the results of the calls about the process itself, by method. `pace` divides the recorded pauses;
    infinity removes them.
    """

    def __init__(self, choose: Choose, facts: Mapping[str, Any], pace: float = 1.0) -> None:
        self._choose = choose
        self._facts = facts
        self._pace = pace
        self._threads: dict[str, _Thread] = {}
        self._numbers = itertools.count(1)
        self._order = itertools.count()
        self._queue: list[tuple[float, int, str, bytes]] = []

    def feed(self, line: bytes, now: float) -> None:
        """Take a line of ours; `now` is in seconds."""
        try:
            message = decode(line)
        except ProtocolError:
            return  # like codex, which only reports it on stderr
        match message:
            case Request():
                self._asked(message, now)
            case Response(request_id) | ErrorResponse(request_id):
                for thread in self._threads.values():
                    if request_id in thread.asked:
                        self._answered(thread, message, now)
                        break
            case Notification():
                pass

    def take(self, now: float) -> list[bytes]:
        """Return the lines that are due."""
        due: list[bytes] = []
        while self._queue and self._queue[0][0] <= now:
            due.append(heapq.heappop(self._queue)[3])
        return due

    def due(self) -> float:
        """Return when the next line is due; infinity if none waits."""
        return self._queue[0][0] if self._queue else float("inf")

    # ── our requests ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _asked(self, request: Request, now: float) -> None:
        if request.method in self._facts:
            self._say(Response(request.id, self._facts[request.method]), now)
        elif request.method == "thread/start":
            thread = _Thread(f"thread-{next(self._numbers)}", ModelViewTracker(request.params))
            self._threads[thread.id] = thread
            # A thread of an agent reports its model and its permissions.
            profile = {"id": request.params.get("permissions")}
            result = {"thread": {"id": thread.id}, "model": "", "activePermissionProfile": profile}
            self._say(Response(request.id, result), now)
        elif request.method == "thread/loaded/list":
            self._say(Response(request.id, {"data": [*self._threads]}), now)
        elif thread := self._threads.get(thread_of(request) or ""):
            self._asked_of(thread, request, now)
        else:
            self._refuse(request, "the replay has no such thread", now)

    def _asked_of(self, thread: _Thread, request: Request, now: float) -> None:
        view = thread.tracker.told(request)
        match request.method:
            case "thread/inject_items":
                self._say(Response(request.id, {}), now)
            case "turn/start" if view is not None and (playing := self._choose(view)):
                thread.turn_id = f"turn-{next(self._numbers)}"
                self._say(Response(request.id, {"turn": {"id": thread.turn_id}}), now)
                self._begin(thread, playing, now)
            case "turn/start":
                self._refuse(request, "there is no recording of this turn", now)
            case "turn/interrupt" if now < thread.over:
                self._silence(thread)
                self._say(Response(request.id, {}), now)
                self._end(thread, {"status": "interrupted", "error": None}, now)
            case "turn/interrupt":
                self._refuse(request, "no active turn to interrupt", now)
            case "thread/read":
                status = {"type": "active" if now < thread.over else "idle"}
                self._say(Response(request.id, {"thread": {"id": thread.id, "status": status}}), now)
            case "thread/turns/list":
                turns = [] if thread.turn_id is None else [{"id": thread.turn_id}]
                self._say(Response(request.id, {"data": turns}), now)
            case "thread/backgroundTerminals/clean":
                self._say(Response(request.id, {}), now)
            case "thread/unsubscribe":
                self._silence(thread)
                del self._threads[thread.id]
                self._say(Response(request.id, {"status": "unsubscribed"}), now)
            case method:
                self._refuse(request, f"the replay does not know {method}", now)

    def _refuse(self, request: Request, reason: str, now: float) -> None:
        self._say(ErrorResponse(request.id, INVALID_REQUEST, reason), now)

    # ── our answers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _answered(self, thread: _Thread, answer: Response | ErrorResponse, now: float) -> None:
        recorded = thread.asked.pop(answer.id)
        view = thread.tracker.told(answer)
        if view is not None:
            playing = self._choose(view) or _next_step(thread)
            if playing is None:
                expected = f"; {thread.playing.session.name} ends here" if thread.playing else ""
                failure = {"message": f"There is no recording of what follows these outputs{expected}."}
                self._end(thread, {"status": "failed", "error": failure}, now)
                return
            self._begin(thread, playing, now)
        elif recorded == thread.awaited:
            self._go_on(thread, now)

    # ── playing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, thread: _Thread, playing: PlayPosition, now: float) -> None:
        thread.playing, thread.position, thread.over = playing, playing.step.line, float("inf")
        self._go_on(thread, now)

    def _go_on(self, thread: _Thread, now: float) -> None:
        """Schedule the lines after the position, up to the next one that must wait for a line of ours."""
        assert thread.playing is not None
        session = thread.playing.session
        beginnings = {step.line for step in session.steps}
        began, due = session.lines[thread.position].at, now
        thread.awaited = None
        for position in range(thread.position + 1, len(session.lines)):
            line = session.lines[position]
            match line:
                case Line(_, True) if position in beginnings:
                    return
                case Line(_, True, Response(request_id) | ErrorResponse(request_id)):
                    if request_id in thread.asked.values():
                        thread.position, thread.awaited = position, request_id
                        return
                case Line(at, False, Notification() | Request() as message) if not is_echo(message):
                    due = now + max(0.0, at - began) / self._pace
                    self._play(thread, message, due)
                    if message.method == "turn/completed":
                        thread.over = due
                        return
                case _:
                    pass
        if not thread.tracker.waits:
            self._end(thread, {"status": "failed", "error": {"message": "The recording ends here."}}, due)

    def _play(self, thread: _Thread, message: Notification | Request, due: float) -> None:
        mine: dict[str, Any] = {**message.params, "threadId": thread.id}
        if "turnId" in mine:
            mine["turnId"] = thread.turn_id
        if "turn" in mine:
            mine["turn"] = {**mine["turn"], "id": thread.turn_id}
        message = replace(message, params=mine)
        if isinstance(message, Request):
            number = next(self._numbers)
            thread.asked[number] = message.id
            message = replace(message, id=number)
        thread.tracker.heard(message)
        self._say(message, due, thread.id)

    def _end(self, thread: _Thread, how: Mapping[str, Any], due: float) -> None:
        thread.over = due
        turn = {"id": thread.turn_id, **how}
        self._say(Notification("turn/completed", {"threadId": thread.id, "turn": turn}), due, thread.id)

    def _silence(self, thread: _Thread) -> None:
        self._queue = [entry for entry in self._queue if entry[2] != thread.id]
        heapq.heapify(self._queue)
        thread.asked.clear()

    def _say(self, message: Message, due: float, thread_id: str = "") -> None:
        heapq.heappush(self._queue, (due, next(self._order), thread_id, encode(message)))


def _next_step(thread: _Thread) -> PlayPosition | None:
    """Return the next step of the thread's own session."""
    if thread.playing is None:
        return None
    later = (step for step in thread.playing.session.steps if step.line > thread.playing.step.line)
    following = next(later, None)
    return None if following is None else PlayPosition(thread.playing.session, following)
