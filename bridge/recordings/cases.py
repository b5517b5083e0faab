"""A recorded conversation as a value and as files; `fixtures/README.md` describes the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from msgspec import Struct

from codex_rpc.errors import ProtocolError
from codex_rpc.recording.session import Line, read_lines, write_lines

FORMAT = 1
SESSION = "session.jsonl"
META = "meta.json"
_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


class CaseError(Exception):
    """A recorded case cannot be read; the message names the file and the error."""


class RecordedExchange(Struct, frozen=True):
    """One request with its answer; `line` is the index of its first line in the session."""

    path: str
    cursor: bool
    request: dict[str, Any]
    status: int
    answer: bytes
    streamed: bool
    uuid: str
    created: int
    line: int


class Case(Struct, frozen=True):
    """A conversation: its exchanges in order, and the session of the thread that answered them."""

    name: str
    exchanges: tuple[RecordedExchange, ...]
    lines: tuple[Line, ...]
    model: Mapping[str, Any]
    """The fields of the model in codex's `model/list` that this program reads."""
    reasoning: str
    """The value of `--reasoning`, on which the answers depend."""
    proxy: str
    codex: str
    """`proxy` and `codex` are the versions that made the recording."""
    agent: str | None = None
    """The agent that answers; None for a model."""

    def answer_file(self, number: int) -> str:
        """Return the name of the file with the answer of the exchange `number`, counted from 1."""
        return f"response-{number}.{'sse' if self.exchanges[number - 1].streamed else 'json'}"


def write_case(case: Case) -> dict[str, bytes]:
    """Return the files of a case, by name."""
    files = {SESSION: write_lines(case.lines)}
    exchanges: list[dict[str, Any]] = []
    for number, one in enumerate(case.exchanges, 1):
        answer = case.answer_file(number)
        files[_request_file(number)] = orjson.dumps(one.request, option=_PRETTY)
        files[answer] = one.answer
        exchanges.append(
            {
                "path": one.path,
                "cursor": one.cursor,
                "status": one.status,
                "answer": answer,
                "id": one.uuid,
                "created": one.created,
                "line": one.line,
            }
        )
    meta = {
        "format": FORMAT,
        "proxy": case.proxy,
        "codex": case.codex,
        "reasoning": case.reasoning,
        "model": dict(case.model),
        "exchanges": exchanges,
    }
    if case.agent is not None:
        meta["agent"] = case.agent
    files[META] = orjson.dumps(meta, option=_PRETTY)
    return files


def read_case(name: str, read: Callable[[str], bytes]) -> Case:
    """Read a case; `read` returns the content of the file with a name.

    Raises:
        CaseError: the case cannot be read.
    """
    file = META
    try:
        meta: Any = orjson.loads(read(file))
        if meta["format"] != FORMAT:
            raise CaseError(f"{name}/{META}: its format is {meta['format']}, not {FORMAT}; record the case again")
        exchanges: list[RecordedExchange] = []
        for number, one in enumerate(meta["exchanges"], 1):
            file = _request_file(number)
            request: Any = orjson.loads(read(file))
            file = one["answer"]
            exchanges.append(
                RecordedExchange(
                    path=one["path"],
                    cursor=one["cursor"],
                    request=request,
                    status=one["status"],
                    answer=read(file),
                    streamed=file.endswith(".sse"),
                    uuid=one["id"],
                    created=one["created"],
                    line=one["line"],
                )
            )
        file = SESSION
        lines = read_lines(read(file))
        versions = meta["proxy"], meta["codex"]
        return Case(name, tuple(exchanges), lines, meta["model"], meta["reasoning"], *versions, meta.get("agent"))
    except (OSError, ValueError, KeyError, TypeError, ProtocolError) as error:
        raise CaseError(f"{name}/{file}: {type(error).__name__}: {error}") from error


def _request_file(number: int) -> str:
    return f"request-{number}.json"
