"""The routes that report on the server itself: /healthz, /readyz, /usage, /metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, cast, get_args

import anyio
import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bridge import __version__
from bridge.codex.backend import Backend
from bridge.conversation.threads import Threads
from bridge.errors import invalid_request, store_failed
from bridge.http.admission import Admission
from bridge.http.budgets import Budgets
from bridge.keys.key import key_report
from bridge.keys.live import Keys, LiveKey, key_of
from bridge.store.response import StoreError
from bridge.store.usage import Grouping
from bridge.telemetry.history import History
from bridge.telemetry.ledger import Ledger
from bridge.telemetry.report import account_report, ledger_report, quota_report, requests_report
from bridge.telemetry.usage_report import usage_report
from codex_rpc.errors import CodexError, CodexUnavailableError
from codex_rpc.supervisor import Down, Starting, Supervisor, Up

if TYPE_CHECKING:
    from bridge.agents.control import Control

MOST_DAYS = 3660
"""How many days one request may ask for."""
PATIENCE = 2.0
"""Seconds that /usage waits for codex to report account and quota."""


TunnelUrl: TypeAlias = Callable[[], str | None]
"""Returns the public address of the tunnel that was started with the server; None without a tunnel, or until it has an
address."""


def no_tunnel() -> None:
    """Return the address of a server without a tunnel."""


class Status:
    """The handlers of these routes."""

    def __init__(
        self,
        supervisor: Supervisor,
        backend: Backend,
        threads: Threads,
        admission: Admission,
        ledger: Ledger,
        *,
        keys: Keys,
        budgets: Budgets,
        history: History,
        agents: Control | None = None,
        tunnel: TunnelUrl = no_tunnel,
    ) -> None:
        self._supervisor = supervisor
        self._backend = backend
        self._threads = threads
        self._admission = admission
        self._keys = keys
        self._budgets = budgets
        self._history = history
        self._agents = agents
        self._tunnel = tunnel
        self.ledger = ledger

    async def health(self, request: Request) -> Response:
        """GET /healthz: 200 as long as the process is alive."""
        del request
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """GET /readyz: 200 if a request would be answered now, else 503 with the reason."""
        del request
        reason, seconds = await self._why_not_ready()
        if reason is None:
            return JSONResponse({"status": "ready"})
        body = {"status": "not ready", "reason": reason}
        return JSONResponse(body, 503, {"retry-after": str(max(1, round(seconds)))})

    async def usage(self, request: Request) -> Response:
        """GET /usage: the account, its quota, requests, today's sums, and those of `?days=`.

        A named key sees its own requests alone.
        """
        if (key := key_of(request.scope)) is not None:
            return _usage_answer(
                {
                    "key": (await self._reports([key]))[0],
                    **requests_report(self.ledger, anyio.current_time(), key.id),
                    "agents": self._turns_of_agents(key.id),
                }
            )
        asked = request.query_params
        history: Mapping[str, Any] = await self._of_days(asked) if "days" in asked else {}
        account = None
        try:
            account = (await self._backend.session(PATIENCE)).account
            await self._backend.refresh_quota(PATIENCE)
        except CodexError:
            pass  # the field "codex" of the answer reports it
        return _usage_answer(
            {
                "account": account_report(account),
                "version": __version__,
                "tunnel": self._tunnel(),
                "codex": self._codex(),
                "quota": quota_report(self._backend.quota),
                "threads": self._threads.states(),
                "answers": self._admission.states(),
                "keys": await self._reports([*self._keys.named.values()]),
                **ledger_report(self.ledger, anyio.current_time()),
                "agents": self._turns_of_agents(None),
                **history,
            }
        )

    async def _of_days(self, query: QueryParams) -> Mapping[str, Any]:
        """Return the field `history`, as the query asks for it."""
        by = query.get("by", "day")
        if by not in get_args(Grouping):
            raise invalid_request(f"`by` must be one of {', '.join(get_args(Grouping))}.", "by")
        if not re.fullmatch(r"\d{1,4}", query["days"]) or not 1 <= int(query["days"]) <= MOST_DAYS:
            raise invalid_request(f"`days` must be a number from 1 to {MOST_DAYS}.", "days")
        days = self._history.last_days(int(query["days"]))
        try:
            lines = await self._history.read(days, cast("Grouping", by), query.get("key"))
        except StoreError as error:
            raise store_failed(str(error)) from error
        account = None
        if by == "day" and "key" not in query:
            with suppress(CodexError):  # the field "codex" reports its state
                account = await self._backend.account_usage(PATIENCE)
        return {"history": usage_report(days, cast("Grouping", by), lines, account)}

    async def metrics(self, request: Request) -> Response:
        """GET /metrics."""
        from bridge.telemetry.metrics import CONTENT_TYPE, ServerState, exposition  # noqa: PLC0415 - few servers need it

        del request
        quota = {
            f"{limit.id}-{name}": window.used_percent
            for limit in self._backend.quota.values()
            for name, window in limit.windows.items()
        }
        state = ServerState(
            codex_up=isinstance(self._supervisor.state, Up),
            codex_starts=self._supervisor.starts,
            threads=self._threads.states(),
            answers=self._admission.states(),
            quota=quota,
        )
        return Response(exposition(self.ledger, state), media_type=CONTENT_TYPE)

    async def _why_not_ready(self) -> tuple[str | None, float]:
        if self._admission.stopping:
            return "the server is stopping", 5
        try:
            session = await self._backend.session(0)
        except CodexUnavailableError as error:
            return str(error), error.retry_after
        except CodexError as error:
            return str(error), 1
        return (None, 0) if session.account.ready else ("codex is not logged in", 5)

    async def _reports(self, keys: Sequence[LiveKey]) -> Sequence[Mapping[str, Any]]:
        used = await self._budgets.used([key.id for key in keys])
        return [key_report(key.key, used[key.id]) for key in keys]

    def _turns_of_agents(self, key: str | None) -> list[dict[str, Any]]:
        """Return the turns that a key may see, with the names of keys instead of their ids."""
        names = {one.id: one.name for one in self._keys.named.values()}
        turns = [] if self._agents is None else self._agents.report(key)
        return [{**turn, "key": names.get(turn["key"])} for turn in turns]

    def _codex(self) -> dict[str, Any]:
        starts = {"starts": self._supervisor.starts}
        match self._supervisor.state:
            case Up(client):
                return {"state": "up", "version": client.user_agent, **starts}
            case Starting():
                return {"state": "starting", **starts}
            case Down(failure):
                return {"state": "down", "reason": str(failure), **starts}


def _usage_answer(usage: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(usage), media_type="application/json", headers={"cache-control": "no-store"})
