"""Opens the turn that answers a request: waits for codex, resolves the model name, picks a thread."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from starlette.requests import Request

from bridge.agents.errors import no_such_agent, not_for_agents
from bridge.agents.place import Place
from bridge.agents.replies import Replies
from bridge.codex.backend import Backend, Session
from bridge.codex.models import DEFAULT, ModelChoice, ModelNames, means_an_agent, reverse
from bridge.conversation.events import APPROVAL
from bridge.conversation.expected_history import Dialect
from bridge.conversation.prompt import Item, Prompt
from bridge.conversation.threads import Threads
from bridge.conversation.turns import Turn
from bridge.conversation.warm_up import WarmUp
from bridge.errors import MODEL_NOT_FOUND, ApiError, model_not_allowed, model_not_found, model_refused
from bridge.http.budgets import Budgets
from bridge.keys.live import LiveKey, key_of
from bridge.openai.clients import is_cursor
from bridge.openai.model_settings import ModelSettings
from bridge.openai.responses.approvals import LABEL
from bridge.recordings.exchanges import Exchange, Exchanges, RecordedRequest
from bridge.refusals import refuses_model
from codex_rpc.wire.calls import Model

if TYPE_CHECKING:
    from bridge.agents.agents import Agents
    from bridge.agents.turns import AgentTurn

logger = logging.getLogger(__name__)


class Opener:
    """Begins exchanges and opens turns for both dialects, chat completions and responses."""

    def __init__(
        self,
        backend: Backend,
        threads: Threads,
        exchanges: Exchanges,
        names: ModelNames,
        *,
        budgets: Budgets,
        agents: Agents | None = None,
        key: LiveKey | None = None,
    ) -> None:
        """With a `key` it keeps to what that named key may use."""
        self.names = names
        self.key = key
        self._budgets = budgets
        self._agents = agents
        self._backend = backend
        self._threads = threads
        self._exchanges = exchanges

    async def for_client(self, request: Request) -> Opener:
        """Return an opener that keeps to what the client's key may use.

        Raises:
            ApiError: 401, the key has just been revoked; 429, it has used its tokens of today.
        """
        key = key_of(request.scope)
        if key is None:
            return self
        key.check()
        await self._budgets.check(key.key)
        return Opener(
            self._backend,
            self._threads,
            self._exchanges,
            self.names_for(request),
            budgets=self._budgets,
            agents=self._agents,
            key=key,
        )

    def names_for(self, request: Request) -> ModelNames:
        """Return the names of the models and agents that the client's key may use."""
        key = key_of(request.scope)
        return self.names if key is None else self.names.limited(key.key.models, key.key.usable_agents)

    @property
    def key_id(self) -> str | None:
        """The id of the client's named key."""
        return None if self.key is None else self.key.id

    def begin(
        self,
        request: Request,
        body: dict[str, Any],
        settings: ModelSettings,
        items: tuple[Item, ...],
        *,
        summary: str | None,
        fall_back: bool = False,
    ) -> Exchange:
        """Return the exchange of a request: its recording or replay, its id and its clock. Arguments as for `open`.

        Answers of agents are not recorded: they hold what is in files. Only the shipped ones are, whose files are ours.

        Raises:
            ApiError: 404, the server replays recordings, and none matches this request.
        """
        agent = self.names.agent(settings.model)
        if agent is not None and not self._exchanges.of_agents:
            return self.unrecorded()
        recorded = RecordedRequest(request.scope["path"], body, is_cursor(request.headers), agent)
        return self._exchanges.begin(
            recorded,
            lambda models: settings.prompt(items, self._choice(settings, models, {}, fall_back=fall_back), summary),
        )

    def agent(self, settings: ModelSettings) -> bool:
        """Return whether an agent answers a request."""
        return self.names.agent(settings.model) is not None

    def unrecorded(self) -> Exchange:
        """Return the exchange of a request that needs no recording, because the model is not asked."""
        return Exchange(self._exchanges.ids_and_clock)

    @asynccontextmanager
    async def open_agent(
        self,
        settings: ModelSettings,
        items: tuple[Item, ...],
        headers: dict[str, str],
        exchange: Exchange,
        *,
        place: Place,
        replies: Replies,
        summary: str | None,
        ignored: tuple[str, ...] = (),
    ) -> AsyncGenerator[AgentTurn]:
        """Run the turn of an agent for the length of the block; arguments as for `open`.

        Raises:
            ApiError: 400, the request asks for something that agents do not have; 401, 404 and 503 as `open`.
            CodexError: codex did not accept the prompt.
        """
        if any(tool.kind == "search" for tool in settings.toolbox.tools):
            raise not_for_agents("a search for tools", "tools")
        stops, longest = settings.limits.stop, settings.limits.max_tokens
        calls_one = ["parallel_tool_calls"] if settings.toolbox.tools and settings.one_call_at_a_time else []
        without_effect = (*(["stop"] if stops else []), *(["max_tokens"] if longest else []), *calls_one)
        name = self.names.agent(settings.model)
        assert self._agents is not None
        assert name is not None
        if replies.way is not None and not self._agents.asks_clients(name):
            without_effect = (*without_effect, f"tools[{LABEL if replies.way == 'item' else APPROVAL}]")
        _, prompt = await self._prompt(settings, items, headers, summary, (*ignored, *without_effect))
        async with self._agents.answer(name, prompt, place, replies) as turn:
            exchange.runs_on(turn.thread_id)
            yield turn

    @asynccontextmanager
    async def open(
        self,
        settings: ModelSettings,
        items: tuple[Item, ...],
        headers: dict[str, str],
        exchange: Exchange,
        *,
        summary: str | None,
        dialect: Dialect,
        ignored: tuple[str, ...] = (),
        fall_back: bool = False,
    ) -> AsyncGenerator[Turn]:
        """Run the turn for the length of the block; response headers about it are added to `headers`.

        `ignored` lists parameters without effect; `service_tier` may be added to it. With `fall_back` the default
        model replaces an unknown one.

        Raises:
            ApiError: 401, codex is not logged in; 404, the model does not exist; 400, it has no such effort.
            CodexError: codex did not accept the prompt.
        """
        session, prompt = await self._prompt(settings, items, headers, summary, ignored, fall_back=fall_back)
        async with self._threads.answer(session, prompt, settings.limits, dialect) as turn:
            exchange.runs_on(turn.thread_id)
            try:
                yield turn
            except ApiError as error:
                if error.code != MODEL_NOT_FOUND and not refuses_model(error.message):
                    raise
                offered = self.names.offered(session.models)
                raise model_refused(settings.model, prompt.model, offered) from error

    @asynccontextmanager
    async def warm_up(
        self,
        settings: ModelSettings,
        items: tuple[Item, ...],
        headers: dict[str, str],
        *,
        summary: str,
        ignored: tuple[str, ...] = (),
    ) -> AsyncGenerator[WarmUp]:
        """Prepare a thread for a conversation with these settings, without asking the model. Arguments as for `open`.

        Raises:
            ApiError, CodexError: as `open`.
        """
        session, prompt = await self._prompt(settings, items, headers, summary, ignored)
        # Some clients warm up before they know their tools, and a thread without these would be of no use.
        if not self.agent(settings) and (items or prompt.toolbox.specs()):
            await self._threads.prepare(session, prompt)
        yield WarmUp(prompt, session.client.quota)

    async def _prompt(
        self,
        settings: ModelSettings,
        items: tuple[Item, ...],
        headers: dict[str, str],
        summary: str | None,
        ignored: tuple[str, ...],
        *,
        fall_back: bool = False,
    ) -> tuple[Session, Prompt]:
        session = await self._backend.ready_session()
        choice = self._choice(settings, session.models, headers, fall_back=fall_back)
        if settings.tier is not None and not settings.has_tier(choice):
            ignored = (*ignored, "service_tier")
        if ignored:
            headers["x-codex-proxy-ignored"] = ", ".join(ignored)
        prompt = settings.prompt(items, choice, summary)
        return session, prompt if self.key is None else replace(prompt, key=self.key.id)

    def _choice(
        self, settings: ModelSettings, models: Sequence[Model], headers: dict[str, str], *, fall_back: bool
    ) -> ModelChoice:
        choice = self.names.choose(settings.model, models)
        may_fall_back = fall_back and not means_an_agent(settings.model)
        if choice is None and may_fall_back and not self.names.forbids(settings.model, models):
            choice = self._substitute(models)
            if choice is not None:
                headers["x-codex-proxy-model"] = reverse(choice.slug)
                logger.warning("the model %r does not exist; using %s instead", settings.model, choice.slug)
        if choice is None:
            raise self._no_such_model(settings.model, models)
        settings.check_effort(choice)
        return choice

    def _substitute(self, models: Sequence[Model]) -> ModelChoice | None:
        """Return the model that replaces an unknown one: the default, or else the first that the client may use."""
        choices = (self.names.choose(name, models) for name in (DEFAULT, *self.names.only))
        return next((choice for choice in choices if choice is not None and choice.agent is None), None)

    def _no_such_model(self, name: str, models: Sequence[Model]) -> ApiError:
        if self.key is not None and (self.key.key.models or means_an_agent(name)):
            return model_not_allowed(name, self.key.name, self.names.listed(models))
        if means_an_agent(name):
            return no_such_agent(name, self.names.listed_agents())
        return model_not_found(name, self.names.listed(models))
