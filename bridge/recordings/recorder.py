"""Records each conversation as a case in a folder, which is redacted before anything is written.

A case is written again at the end of each answer, before its last byte is sent, so that the case exists once a client
has the answer. An answer is not recorded if the client disconnects before its end.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from msgspec import Struct, field
from msgspec.structs import replace
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge import __version__
from bridge.openai import sse
from bridge.recordings.case_folders import save_case
from bridge.recordings.cases import Case, RecordedExchange
from bridge.recordings.exchanges import Exchange, Exchanges, IdsAndClock, PromptOf, RecordedRequest
from bridge.recordings.redact_case import redacted
from bridge.recordings.redaction import Redactor
from codex_rpc.errors import ProtocolError
from codex_rpc.process.process import ByteStream, read_version
from codex_rpc.recording.recording import RecordedStream
from codex_rpc.recording.session import Line, Splitter, is_echo
from codex_rpc.recording.tidy import tidy
from codex_rpc.wire.messages import Notification, Request, Response, decode

logger = logging.getLogger(__name__)

FILLERS = frozenset({sse.KEEP_ALIVE, b" "})
"""Keep-alive data, which is not recorded: it depends on pauses, which a replay may not have."""
LONGEST_NAME = 40


class _Thread(Struct, eq=False):
    lines: list[Line] = field(default_factory=list[Line])
    exchanges: list[RecordedExchange] = field(default_factory=list[RecordedExchange])
    next_line: int = 0
    """The index of the first line of the next exchange."""
    open: int = 0
    closed: bool = False
    name: str | None = None


class Recorder(Exchanges):
    """Writes cases into `folder`; `clock` returns seconds, `reasoning` is the value of `--reasoning`."""

    def __init__(
        self, folder: Path, ids_and_clock: IdsAndClock, redactor: Redactor, clock: Callable[[], float], reasoning: str
    ) -> None:
        super().__init__(ids_and_clock)
        self._folder = folder
        self._redactor = redactor
        self._clock = clock
        self._reasoning = reasoning
        self._threads: dict[str, _Thread] = {}
        self._models: dict[str, Any] = {}
        self._codex = ""
        self._one_at_a_time = anyio.CapacityLimiter(1)

    def tap(self, stream: ByteStream) -> ByteStream:
        """Return the connection to a new codex, recorded; threads of the previous codex are dropped unless in use."""
        self._threads = {name: thread for name, thread in self._threads.items() if thread.open}
        return RecordedStream(stream, partial(self._note, Splitter()))

    def begin(self, request: RecordedRequest, prompt_of: PromptOf) -> Exchange:
        """Return a recording exchange unless the request may run several turns: a case holds one turn for each."""
        del prompt_of
        if request.body.get("n") not in {None, 1}:
            logger.warning("a request for several choices is not recorded")
            return Exchange(self.ids_and_clock)
        if request.body.get("context_management"):
            logger.warning("a request that may compact its conversation first is not recorded")
            return Exchange(self.ids_and_clock)
        if request.body.get("background"):
            logger.warning("a background response is not recorded")
            return Exchange(self.ids_and_clock)
        return _Recording(self, request)

    def thread(self, thread_id: str) -> _Thread:
        """Return the recorded state of a thread."""
        return self._threads.setdefault(thread_id, _Thread())

    async def save(self, thread: _Thread, exchange: RecordedExchange, agent: str | None) -> None:
        """Add an exchange to the case of its thread and write the whole case."""
        begins = next((n for n in range(exchange.line, len(thread.lines)) if thread.lines[n].to_codex), exchange.line)
        thread.exchanges.append(replace(exchange, line=begins))
        thread.next_line = len(thread.lines)
        lines = tuple(thread.lines)
        case = Case(
            thread.name or "",
            tuple(thread.exchanges),
            lines,
            self._model_of(lines),
            self._reasoning,
            __version__,
            self._codex,
            agent,
        )
        thread.name = await anyio.to_thread.run_sync(self._write, case, limiter=self._one_at_a_time)

    def _write(self, case: Case) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        case = redacted(_tidied(case), self._redactor)
        name = case.name or self._new_name(case.exchanges[0].request)
        save_case(replace(case, name=name), self._folder / name)
        return name

    def _new_name(self, request: dict[str, Any]) -> str:
        number = 1 + max(
            (int(found[1]) for path in self._folder.iterdir() if (found := _NUMBERED.match(path.name))), default=0
        )
        words = re.sub(r"[^a-z0-9]+", "-", _last_text(request).lower()).strip("-")[:LONGEST_NAME].strip("-")
        return f"{number:03}-{words}" if words else f"{number:03}"

    def _model_of(self, lines: tuple[Line, ...]) -> dict[str, Any]:
        first = lines[0].message if lines else None
        slug = first.params.get("model", "") if isinstance(first, Request) else ""
        return self._models.get(slug, {})

    # ── The wire ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _note(self, splitter: Splitter, to_codex: bool, line: bytes) -> None:
        try:
            message = decode(line)
        except ProtocolError:
            return
        if is_echo(message):
            return
        noted = Line(self._clock(), to_codex, message)
        match splitter.feed(noted):
            case None:
                self._learn(noted)
            case thread_id, lines:
                thread = self.thread(thread_id)
                thread.lines += lines
                if isinstance(noted.message, Request) and noted.message.method == "thread/unsubscribe":
                    thread.closed = True
                    self.forget(thread_id)

    def _learn(self, line: Line) -> None:
        """Note codex's version and models, and the secrets in its account."""
        match line:
            case Line(_, False, Response(_, {"userAgent": str(agent)})):
                self._codex = ".".join(map(str, read_version(agent) or ()))
            case Line(_, False, Response(_, {"data": [*models]})):
                self._models = {model["model"]: _read_fields(model) for model in models if "model" in model}
            case Line(_, False, Response(_, result)):
                self._redactor.learn(result)
            case _:
                pass

    def forget(self, thread_id: str) -> None:
        """Drop a thread that is closed and no longer in use."""
        thread = self._threads.get(thread_id)
        if thread is not None and thread.closed and not thread.open:
            del self._threads[thread_id]


class _Recording(Exchange):
    """The exchange of one request."""

    def __init__(self, recorder: Recorder, request: RecordedRequest) -> None:
        uuid, created = recorder.ids_and_clock.unique(), recorder.ids_and_clock.now()
        super().__init__(IdsAndClock(unique=lambda: uuid, now=lambda: created))
        self._recorder = recorder
        self._request = request
        self._uuid = uuid
        self._created = created
        self._thread_id: str | None = None
        self._status = 0
        self._streamed = False
        self._body = b""

    def runs_on(self, thread_id: str) -> None:
        """Record this thread; an earlier one ended with its codex."""
        self._release()
        self._thread_id = thread_id
        self._recorder.thread(thread_id).open += 1

    def around(self, answer: ASGIApp) -> ASGIApp:
        """Return an application that runs `answer` and records the data that it sends."""

        async def answer_and_keep(scope: Scope, receive: Receive, send: Send) -> None:
            async def keep(message: Message) -> None:
                await self._keep(message)
                await send(message)

            try:
                await answer(scope, receive, keep)
            finally:
                self._release()

        return answer_and_keep

    async def _keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            media = MutableHeaders(raw=message["headers"])["content-type"]
            self._streamed = media.startswith("text/event-stream")
            return
        if (data := message.get("body", b"")) not in FILLERS:
            self._body += data
        if not message.get("more_body", False) and self._thread_id is not None:
            await self._save(self._recorder.thread(self._thread_id))

    async def _save(self, thread: _Thread) -> None:
        exchange = RecordedExchange(
            path=self._request.path,
            cursor=self._request.cursor,
            request=self._request.body,
            status=self._status,
            answer=self._body,
            streamed=self._streamed,
            uuid=self._uuid,
            created=self._created,
            line=thread.next_line,
        )
        try:
            with anyio.CancelScope(shield=True):
                await self._recorder.save(thread, exchange, self._request.agent)
        except Exception:
            logger.exception("a case could not be written")  # the client gets its answer all the same

    def _release(self) -> None:
        if self._thread_id is not None:
            self._recorder.thread(self._thread_id).open -= 1
            self._recorder.forget(self._thread_id)
            self._thread_id = None


_NUMBERED = re.compile(r"(\d+)")
_REASONING_ID = re.compile(rb'(?<="rs_[0-9a-f]{32}_)[^"]+')
"""The part of a reasoning id in an answer that is the upstream's id and also appears in the session."""


def _tidied(case: Case) -> Case:
    """Replace the ids in the session by numbers, and likewise the ids in the answers that come from the session."""
    lines = tuple(tidy(case.lines))
    ids = dict(zip(map(_item_id, case.lines), map(_item_id, lines), strict=True))
    exchanges = (
        replace(one, answer=_REASONING_ID.sub(lambda found: ids.get(found[0], found[0]), one.answer))
        for one in case.exchanges
    )
    return replace(case, lines=lines, exchanges=tuple(exchanges))


def _item_id(line: Line) -> bytes:
    """Return the id of the item in a line; empty if there is none."""
    match line.message:
        case Notification(_, {"itemId": str(item_id)} | {"item": {"id": str(item_id)}}):
            return item_id.encode()
        case _:
            return b""


def _last_text(request: dict[str, Any]) -> str:
    """Return the user's last text, from which the case is named."""
    match request.get("messages") or request.get("input"):
        case str(text) | [*_, {"content": str(text)}] | [*_, {"content": [*_, {"text": str(text)}]}]:
            return text
        case _:
            return ""


def _read_fields(model: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": model["model"],
        "hidden": model["hidden"],
        "isDefault": model.get("isDefault", False),
        "supportedReasoningEfforts": [
            {"reasoningEffort": option["reasoningEffort"]} for option in model["supportedReasoningEfforts"]
        ],
        "serviceTiers": [{"id": tier["id"], "name": tier["name"]} for tier in model.get("serviceTiers", ())],
    }
