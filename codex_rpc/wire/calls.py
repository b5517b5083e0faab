"""The calls of app-server's protocol v2 that we use, each with the reader of its result.

Source: `codex app-server generate-json-schema --experimental`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct, convert, field

from codex_rpc.quota import RateLimit
from codex_rpc.shape import Shape

T = TypeVar("T")
Params: TypeAlias = Mapping[str, Any]

UNWANTED = (
    "app/list/updated",
    "configWarning",
    "deprecationNotice",
    "hook/completed",
    "hook/started",
    "item/autoApprovalReview/completed",
    "item/autoApprovalReview/started",
    "item/commandExecution/outputDelta",
    "item/commandExecution/terminalInteraction",
    "item/completed",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "item/mcpToolCall/progress",
    "item/plan/delta",
    "mcpServer/startupStatus/updated",
    "model/safetyBuffering/updated",
    "model/verification",
    "remoteControl/status/changed",
    "serverRequest/resolved",
    "skills/changed",
    "thread/closed",
    "thread/environment/connected",
    "thread/environment/disconnected",
    "thread/goal/cleared",
    "thread/goal/updated",
    "thread/name/updated",
    "thread/settings/updated",
    "thread/started",
    "thread/status/changed",
    "thread/tokenUsage/updated",
    "turn/diff/updated",
    "turn/moderationMetadata",
    "turn/plan/updated",
    "turn/started",
)
"""Notifications that codex does not send us because we do not read them: this saves both sides work."""


class Call(Struct, Generic[T], frozen=True):
    """One method with its parameters and the reader of its result."""

    method: str
    params: Params
    read: Callable[[Any], T]
    """Raises KeyError, TypeError, ValueError or AttributeError if the result does not fit the schema."""
    ends: bool = False
    """Whether it ends something that would otherwise continue."""


class Account(Struct, frozen=True):
    """Whether codex can answer: `kind` is None when no user is logged in."""

    kind: str | None
    plan: str | None
    needs_login: bool
    email: str | None = None
    workspace: str | None = None
    """The id of the ChatGPT account that pays, which may be shared by several users."""

    @property
    def ready(self) -> bool:
        return self.kind is not None or not self.needs_login


class DeviceCode(Shape, frozen=True):
    """A login that waits for the user: the page to open, in any browser, and the code to type there."""

    login_id: str
    url: str = field(name="verificationUrl")
    code: str = field(name="userCode")


class Model(Struct, frozen=True):
    """A model as codex lists it."""

    slug: str
    efforts: tuple[str, ...]
    tiers: Mapping[str, str]
    """The service tiers, display name in lower case → id."""
    hidden: bool
    is_default: bool = False
    """Whether codex uses it when the user names no model."""


class OpenThread(Struct, frozen=True):
    """A thread that was started, resumed or forked."""

    id: str
    model: str
    profile: str | None
    """The id of the permission profile with which it runs."""


class ThreadStatus(Shape, frozen=True):
    """The field `status` of a thread."""

    type: str


class StoredThread(Shape, frozen=True):
    """What codex says of a thread; `status.type` is `active` while a turn runs."""

    id: str
    status: ThreadStatus
    parent: str | None = field(default=None, name="parentThreadId")


def initialize(name: str, version: str, unwanted: Sequence[str] = UNWANTED) -> Call[str]:
    """The handshake; the result is codex's user agent, which contains its version."""
    capabilities = {"experimentalApi": True, "optOutNotificationMethods": list(unwanted)}
    params = {"clientInfo": {"name": name, "title": None, "version": version}, "capabilities": capabilities}
    return Call("initialize", params, lambda result: result["userAgent"])


def account_read() -> Call[Account]:
    """Read which account is logged in."""

    def read(result: Any) -> Account:
        account: Params = result.get("account") or {}
        routing: Params = result.get("workspaceRouting") or {}
        return Account(
            account.get("type"),
            account.get("planType"),
            bool(result["requiresOpenaiAuth"]),
            account.get("email"),
            routing.get("chatgptAccountId"),
        )

    return Call("account/read", {}, read)


def account_login_start() -> Call[DeviceCode]:
    """Begin a login with ChatGPT by device code; `account/login/completed` reports how it ended."""
    return Call("account/login/start", {"type": "chatgptDeviceCode"}, partial(convert, type=DeviceCode))


def account_usage_read() -> Call[Mapping[str, int]]:
    """Read the account's tokens of each day, from all its clients: date → tokens."""

    def read(result: Any) -> Mapping[str, int]:
        days: list[Params] = result.get("dailyUsageBuckets") or []
        return {day["startDate"]: day["tokens"] for day in days}

    return Call("account/usage/read", {}, read)


def rate_limits_read() -> Call[tuple[RateLimit, ...]]:
    """Read the account's quota; codex refuses if the account has none, as one with an API key."""

    def read(result: Any) -> tuple[RateLimit, ...]:
        snapshots: Params = result.get("rateLimitsByLimitId") or {"": result["rateLimits"]}
        return convert(tuple(snapshots.values()), tuple[RateLimit, ...])

    return Call("account/rateLimits/read", {}, read)


def config_read() -> Call[Mapping[str, Any]]:
    """Read the user's effective configuration."""
    return Call("config/read", {}, lambda result: result["config"])


def model_list() -> Call[tuple[Model, ...]]:
    """List the models of the catalogue in codex's order, hidden ones included."""

    def read(result: Any) -> tuple[Model, ...]:
        return tuple(
            Model(
                slug=model["model"],
                efforts=tuple(option["reasoningEffort"] for option in model["supportedReasoningEfforts"]),
                tiers={tier["name"].lower(): tier["id"] for tier in model.get("serviceTiers", ())},
                hidden=model["hidden"],
                is_default=model.get("isDefault", False),
            )
            for model in result["data"]
        )

    return Call("model/list", {"includeHidden": True, "limit": 1000}, read)


def thread_start(params: Params) -> Call[str]:
    """Open a thread; the result is its id."""
    return Call("thread/start", params, lambda result: result["thread"]["id"])


def agent_thread_start(params: Params) -> Call[OpenThread]:
    """Open a thread that codex keeps on disk."""
    return Call("thread/start", params, _open_thread)


def thread_resume(thread_id: str, params: Params) -> Call[OpenThread]:
    """Load a thread from disk; codex forgets the parameters that it was started with, so `params` has them all."""
    return Call("thread/resume", {"threadId": thread_id, "excludeTurns": True, **params}, _open_thread)


def thread_fork(thread_id: str, last_turn: str, params: Params) -> Call[OpenThread]:
    """Copy a thread up to a turn into a new thread; `params` as for `thread_resume`."""
    return Call(
        "thread/fork", {"threadId": thread_id, "lastTurnId": last_turn, "excludeTurns": True, **params}, _open_thread
    )


def thread_read(thread_id: str) -> Call[StoredThread]:
    """Read the state of a thread."""
    return Call("thread/read", {"threadId": thread_id}, lambda result: convert(result["thread"], StoredThread))


def threads_loaded() -> Call[tuple[str, ...]]:
    """List the ids of the loaded threads."""
    return Call("thread/loaded/list", {"limit": 1000}, lambda result: tuple(result["data"]))


def last_turn(thread_id: str) -> Call[str | None]:
    """Return the id of the thread's newest turn; None if it has none."""

    def read(result: Any) -> str | None:
        return result["data"][0]["id"] if result["data"] else None

    return Call("thread/turns/list", {"threadId": thread_id, "limit": 1, "itemsView": "notLoaded"}, read)


def background_terminals_clean(thread_id: str) -> Call[None]:
    """Kill the commands of the thread that still run."""
    return Call("thread/backgroundTerminals/clean", {"threadId": thread_id}, _nothing, ends=True)


def thread_inject_items(thread_id: str, items: Sequence[Mapping[str, Any]]) -> Call[None]:
    """Append raw Responses items to the thread's history."""
    return Call("thread/inject_items", {"threadId": thread_id, "items": list(items)}, _nothing)


def thread_unsubscribe(thread_id: str) -> Call[None]:
    """Let codex unload the thread."""
    return Call("thread/unsubscribe", {"threadId": thread_id}, _nothing, ends=True)


def turn_start(thread_id: str, **settings: Any) -> Call[str]:
    """Run the model on the thread's items; `settings` are TurnStartParams; the result is the turn's id."""
    params: Params = {"threadId": thread_id, "input": [], **settings}
    return Call("turn/start", params, lambda result: result["turn"]["id"])


def turn_steer(thread_id: str, turn_id: str, items: Sequence[Params]) -> Call[None]:
    """Give a running turn more input of the user; the model reads it after the outputs that the turn waits for."""
    return Call("turn/steer", {"threadId": thread_id, "expectedTurnId": turn_id, "input": list(items)}, _nothing)


def turn_interrupt(thread_id: str, turn_id: str) -> Call[None]:
    """Stop a running turn."""
    return Call("turn/interrupt", {"threadId": thread_id, "turnId": turn_id}, _nothing, ends=True)


def _open_thread(result: Any) -> OpenThread:
    profile: Params = result.get("activePermissionProfile") or {}
    return OpenThread(result["thread"]["id"], result["model"], profile.get("id"))


def _nothing(_: Any) -> None:
    return None
