"""The live codex for the rest of the server: its client, its account, its models and its quota."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import anyio
from msgspec import Struct

from bridge.errors import not_logged_in
from codex_rpc.client.caller import CALL_DEADLINE
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError
from codex_rpc.quota import Quota, updated
from codex_rpc.supervisor import Supervisor
from codex_rpc.wire.calls import Account, Model, account_read, account_usage_read, model_list, rate_limits_read

logger = logging.getLogger(__name__)

RESTART_PAUSE = 2.0
"""Seconds between two restarts that look for a login: a running codex does not notice a login made elsewhere."""

USAGE_AGE = 300.0
"""Seconds after which the account's count of tokens is read again, if a request needs it."""
QUOTA_AGE = 60.0
"""Seconds for which a quota is reused; reading it costs codex a request to its backend."""

MODELS_PATIENCE = 2.0
"""Seconds that a request for the model list waits for a codex that is starting."""


class Session(Struct):
    """One codex process with its account and models."""

    client: Client
    account: Account
    models: tuple[Model, ...]
    account_changes: int
    """The number of account changes that codex had reported when the account was read."""
    stamp: object = None
    """The value of the backend's `stamp` when codex was first asked."""

    @property
    def owner(self) -> str:
        """A name for the account, equal only for the same account; it does not reveal the account.

        Codex identifies an account of ChatGPT. Of other accounts it reports only the kind, so each login counts as a
        different account.
        """
        account = self.account
        if account.kind == "chatgpt" and account.email is not None:
            identity: object = account.kind, account.email, account.workspace
        else:
            identity = account.kind, self.stamp
        return hashlib.blake2b(repr(identity).encode(), digest_size=16).hexdigest()


class Backend:
    """Reads account and models once for each codex process, and the account again when codex reports a change."""

    def __init__(self, supervisor: Supervisor, patience: float, stamp: Callable[[], object] = lambda: None) -> None:
        """`stamp` returns a different value whenever the login or the home on disk has changed."""
        self._supervisor = supervisor
        self._stamp = stamp
        self._patience = patience
        self._session: Session | None = None
        self._lock = anyio.Lock()
        self._restarted = float("-inf")
        self._quota_read = float("-inf")
        self._usage_of: Session | None = None
        self._usage_read = float("-inf")
        self._account_usage: Mapping[str, int] | None = None

    @property
    def quota(self) -> Quota:
        """The last reported quota of the account; empty if there is none."""
        return self._session.client.quota if self._session else {}

    async def models(self) -> Sequence[Model]:
        """Return the models that codex lists; if it does not answer, the last list, which is empty at first."""
        try:
            return (await self.session(MODELS_PATIENCE)).models
        except CodexError as error:
            logger.warning("the model list could not be updated: %s", error)
            return self._session.models if self._session else ()

    async def session(self, patience: float | None = None) -> Session:
        """Return the session with the live codex, logged in or not; wait up to `patience` seconds for its start.

        Raises:
            CodexUnavailableError: codex does not start in time.
            CodexError: codex refuses a call or ends.
        """
        client = await self._supervisor.client(self._patience if patience is None else patience)
        session = self._session
        if session is not None and session.client is client and session.account_changes == client.account_changes:
            return session
        async with self._lock:
            session = self._session
            if session is None or session.client is not client:
                stamp = self._stamp()
                session = self._session = await _read_session(client)
                session.stamp = stamp
            elif session.account_changes != client.account_changes:
                changes = client.account_changes
                session.account = await client.call(account_read())
                session.account_changes = changes
            return session

    async def ready_session(self) -> Session:
        """Return the session with the live codex, which is logged in.

        Raises:
            ApiError: 401, codex is not logged in.
            CodexError: as `session`.
        """
        session = await self.session()
        if session.stamp != self._stamp():
            logger.info("the login, the connection or a file of codex has changed; replacing codex")
            self._supervisor.replace(session.client)
            session = await self.session()
        if not session.account.ready and self._may_restart():
            logger.info("codex was not logged in; restarting it to look for a new login")
            self._supervisor.restart()
            session = await self.session()
        if not session.account.ready:
            raise not_logged_in()
        return session

    async def refresh_quota(self, deadline: float) -> None:
        """Read the quota, unless it was read recently or the account has none; wait up to `deadline` seconds.

        Raises:
            CodexError: the quota cannot be read.
        """
        session = await self.session(deadline)
        now = anyio.current_time()
        if session.account.kind != "chatgpt" or now - self._quota_read < QUOTA_AGE:
            return
        self._quota_read = now
        for limit in await session.client.call(rate_limits_read(), deadline):
            session.client.quota = updated(session.client.quota, limit)

    async def account_usage(self, deadline: float) -> Mapping[str, int] | None:
        """Return the account's tokens of each day, also those of its other clients; None if it has no such count.

        Raises:
            CodexError: the count cannot be read.
        """
        session = await self.session(deadline)
        if session.account.kind != "chatgpt":
            return None
        now = anyio.current_time()
        if session is not self._usage_of or now - self._usage_read >= USAGE_AGE:
            self._usage_of, self._usage_read = session, now  # a backend without the count is not asked each time
            self._account_usage = None
            self._account_usage = await session.client.call(account_usage_read(), deadline)
        return self._account_usage

    def _may_restart(self) -> bool:
        now = anyio.current_time()
        if now - self._restarted < RESTART_PAUSE:
            return False
        self._restarted = now
        return True

    async def warm_up(self) -> None:
        """Read what the first request would need; a failure is left to that request."""
        try:
            session = await self.session()
        except CodexError as error:
            logger.debug("codex does not answer yet: %s", error)
            return
        if not session.account.ready:
            logger.warning("%s", not_logged_in())
        with suppress(CodexError):
            await self.refresh_quota(CALL_DEADLINE)


async def _read_session(client: Client) -> Session:
    changes = client.account_changes
    account = await client.call(account_read())
    models = await client.call(model_list())
    return Session(client, account, models, changes)
