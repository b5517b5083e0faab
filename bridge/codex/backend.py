"""The live codex as the rest of the server needs it: logged in, with its models known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import anyio
from msgspec import Struct

from bridge.errors import not_logged_in
from codex_rpc.client.caller import CALL_DEADLINE
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError
from codex_rpc.quota import Quota, updated
from codex_rpc.supervisor import Supervisor
from codex_rpc.wire.calls import Account, Model, account_read, model_list, rate_limits_read

logger = logging.getLogger(__name__)

RESTART_PAUSE = 2.0
"""Seconds. A running codex does not notice a login made elsewhere: a request starts it anew, but not more often."""


QUOTA_AGE = 60.0
"""Seconds for which a quota that was asked for is good; asking costs codex a request to its backend."""

MODELS_PATIENCE = 2.0
"""Seconds. The model list is not worth a longer wait for a codex that is starting."""


class Session(Struct):
    """What we know about one codex process."""

    client: Client
    account: Account
    models: tuple[Model, ...]
    account_changes: int
    """How many changes of the account had been told when it was read."""
    stamp: object = None
    """What stood for the login and the home that codex was started with."""


class Backend:
    """Asks codex about itself, once for each process and again when it says that something changed."""

    def __init__(self, supervisor: Supervisor, patience: float, stamp: Callable[[], object] = lambda: None) -> None:
        """`stamp` returns another value whenever the login or the home that codex has on disk is another one."""
        self._supervisor = supervisor
        self._stamp = stamp
        self._patience = patience
        self._session: Session | None = None
        self._lock = anyio.Lock()
        self._restarted = float("-inf")
        self._quota_asked = float("-inf")

    @property
    def quota(self) -> Quota:
        """What is known of the account's quota."""
        return self._session.client.quota if self._session else {}

    async def models(self) -> Sequence[Model]:
        """Return the models that codex lists; what it last listed when it does not answer, none if it never did."""
        try:
            return (await self.session(MODELS_PATIENCE)).models
        except CodexError as error:
            logger.warning("the models are not up to date: %s", error)
            return self._session.models if self._session else ()

    async def session(self, patience: float | None = None) -> Session:
        """Return the session with the live codex, whoever is logged in; wait up to `patience` seconds for its start.

        Raises:
            CodexUnavailableError: codex is not up in time.
            CodexError: it does not answer as promised.
        """
        client = await self._supervisor.client(self._patience if patience is None else patience)
        session = self._session
        if session is not None and session.client is client and session.account_changes == client.account_changes:
            return session
        async with self._lock:
            session = self._session
            if session is None or session.client is not client:
                stamp = self._stamp()
                session = self._session = await _ask(client)
                session.stamp = stamp
            elif session.account_changes != client.account_changes:
                changes = client.account_changes
                session.account = await client.call(account_read())
                session.account_changes = changes
            return session

    async def ready_session(self) -> Session:
        """Return the session with the live codex if it can answer.

        Raises:
            ApiError: 401, nobody is logged in.
            CodexError: as `session`.
        """
        session = await self.session()
        if session.stamp != self._stamp():
            logger.info("the login or the connection of codex has changed; a new codex takes over")
            self._supervisor.replace(session.client)
            session = await self.session()
        if not session.account.ready and self._may_restart():
            logger.info("nobody was logged in when codex started; starting it anew to see whether somebody is now")
            self._supervisor.restart()
            session = await self.session()
        if not session.account.ready:
            raise not_logged_in()
        return session

    async def refresh_quota(self, deadline: float) -> None:
        """Ask for the quota, unless it was asked for lately or the account has none.

        Raises:
            CodexError: codex cannot be asked.
        """
        session = await self.session(deadline)
        now = anyio.current_time()
        if session.account.kind != "chatgpt" or now - self._quota_asked < QUOTA_AGE:
            return
        self._quota_asked = now
        for limit in await session.client.call(rate_limits_read(), deadline):
            session.client.quota = updated(session.client.quota, limit)

    def _may_restart(self) -> bool:
        now = anyio.current_time()
        if now - self._restarted < RESTART_PAUSE:
            return False
        self._restarted = now
        return True

    async def warm_up(self) -> None:
        """Ask what every first request would have to ask; a failure is left to the request."""
        try:
            session = await self.session()
        except CodexError as error:
            logger.debug("codex could not be asked yet: %s", error)
            return
        if not session.account.ready:
            logger.warning("%s", not_logged_in())
        with suppress(CodexError):
            await self.refresh_quota(CALL_DEADLINE)


async def _ask(client: Client) -> Session:
    changes = client.account_changes
    account = await client.call(account_read())
    models = await client.call(model_list())
    return Session(client, account, models, changes)
