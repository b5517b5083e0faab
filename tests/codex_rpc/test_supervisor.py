"""One client kept alive: what callers get while codex starts, runs, ends and is restarted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from codex_rpc import supervisor as under_test
from codex_rpc.background import running
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError, CodexNotFoundError, CodexUnavailableError, ConnectionLostError
from codex_rpc.process.child import Sink
from codex_rpc.supervisor import Down, Starting, State, Supervisor, Up

NOT_FOUND = CodexNotFoundError("no codex anywhere")


class UnusedStream:
    """A stream that must not be used."""

    async def read(self, sink: Sink) -> None:
        raise AssertionError("the supervisor read from codex")

    async def send(self, data: bytes) -> None:
        raise AssertionError(f"the supervisor wrote to codex: {data!r}")

    def last_words(self) -> str:
        raise AssertionError("the supervisor asked for codex's last words")


class MortalClient(Client):
    """A client that the test ends."""

    def __init__(self) -> None:
        super().__init__(UnusedStream())
        self.end: CodexError | None = None
        self.dead = anyio.Event()

    @property
    def alive(self) -> bool:
        return self.end is None

    def die(self, reason: str) -> CodexError:
        self.end = ConnectionLostError(reason)
        self.dead.set()
        return self.end

    async def wait_for_end(self) -> CodexError:
        await self.dead.wait()
        assert self.end is not None
        return self.end


class Starts:
    """Plays `open_client`: after the planned failures each start gives a new client; records the state before it."""

    def __init__(self, *failures: CodexError) -> None:
        self.supervisor = Supervisor(self.open)
        self.failures = list(failures)
        self.may_start = anyio.Event()
        self.may_start.set()
        self.may_stop = anyio.Event()
        self.may_stop.set()
        self.states_before: list[State] = []
        self.clients: list[MortalClient] = []
        self.closed: list[MortalClient] = []
        self.together = 1
        self._opened = anyio.Event()

    async def up(self, number: int) -> MortalClient:
        """Wait for the client of this number, counted from one."""
        while len(self.clients) < number:
            await self._opened.wait()
        return self.clients[number - 1]

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Client]:
        self.states_before.append(self.supervisor.state)
        running = len(self.clients) - len(self.closed)
        assert running < self.together, "too many codex processes at the same time"
        await self.may_start.wait()
        if self.failures:
            raise self.failures.pop(0)
        client = MortalClient()
        self.clients.append(client)
        self._opened.set()
        self._opened = anyio.Event()
        try:
            yield client
        finally:
            with anyio.CancelScope(shield=True):
                await self.may_stop.wait()
            self.closed.append(client)


@asynccontextmanager
async def supervised(starts: Starts) -> AsyncGenerator[Supervisor]:
    with anyio.fail_after(5):
        async with running(starts.supervisor.run):
            try:
                yield starts.supervisor
            finally:
                starts.may_stop.set()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(under_test, "LONGEST_PAUSE", 0.004)


def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delay the next start beyond the test's deadline."""
    monkeypatch.setattr(under_test, "FIRST_PAUSE", 60.0)
    monkeypatch.setattr(under_test, "LONGEST_PAUSE", 60.0)


def failure_of(state: State) -> CodexError | None:
    return state.failure if isinstance(state, Down) else None


def pauses(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the pauses that the log announces, in seconds."""
    return [message.split()[-2] for message in caplog.messages if "starting codex again in" in message]


# ── the first start ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_before_anything_runs_codex_is_starting():
    starts = Starts()

    assert starts.supervisor.state == Starting()
    with anyio.fail_after(5), pytest.raises(CodexUnavailableError, match="still starting") as caught:
        await starts.supervisor.client(patience=0)
    assert caught.value.retry_after == 1


async def test_the_first_outcome_of_a_good_start_is_the_client():
    starts = Starts()
    async with supervised(starts) as supervisor:
        assert await supervisor.first_outcome() == Up(starts.clients[0])
        assert supervisor.state == Up(starts.clients[0])


async def test_the_first_outcome_of_a_failed_start_is_its_failure(monkeypatch: pytest.MonkeyPatch):
    long_pauses(monkeypatch)
    async with supervised(Starts(NOT_FOUND)) as supervisor:
        before = anyio.current_time()
        outcome = await supervisor.first_outcome()
        assert isinstance(outcome, Down)
        assert outcome.failure == NOT_FOUND
        assert before + 60 <= outcome.next_start <= anyio.current_time() + 60


async def test_the_first_outcome_waits_for_a_slow_start():
    starts = Starts()
    starts.may_start = anyio.Event()
    outcomes: list[State] = []

    async def wait() -> None:
        outcomes.append(await supervisor.first_outcome())

    async with supervised(starts) as supervisor, anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert outcomes == []
        starts.may_start.set()

    assert outcomes == [Up(starts.clients[0])]


# ── callers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_caller_without_patience_gets_a_client_that_is_up():
    starts = Starts()
    async with supervised(starts) as supervisor:
        await supervisor.first_outcome()
        assert await supervisor.client(patience=0) is starts.clients[0]


async def test_a_patient_caller_gets_the_client_of_the_current_start():
    starts = Starts()
    starts.may_start = anyio.Event()
    got: list[Client] = []

    async def ask() -> None:
        got.append(await supervisor.client(patience=60))

    async with supervised(starts) as supervisor, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert got == []
        starts.may_start.set()

    assert got == starts.clients * 3


async def test_a_patient_caller_outlasts_failed_starts():
    starts = Starts(NOT_FOUND, NOT_FOUND)
    async with supervised(starts) as supervisor:
        assert await supervisor.client(patience=60) is starts.clients[0]

    assert len(starts.states_before) == 3


async def test_the_error_says_why_codex_is_down_and_when_to_retry(monkeypatch: pytest.MonkeyPatch):
    long_pauses(monkeypatch)
    async with supervised(Starts(NOT_FOUND)) as supervisor:
        await supervisor.first_outcome()
        with pytest.raises(CodexUnavailableError, match="codex is not running: no codex anywhere") as caught:
            await supervisor.client(patience=0)

    assert 0 < caught.value.retry_after <= 60


async def test_a_caller_that_would_not_wait_until_the_next_start_fails_at_once(monkeypatch: pytest.MonkeyPatch):
    long_pauses(monkeypatch)
    async with supervised(Starts(NOT_FOUND)) as supervisor:
        await supervisor.first_outcome()
        with pytest.raises(CodexUnavailableError, match="codex is not running: no codex anywhere") as caught:
            await supervisor.client(patience=50)

    assert 50 < caught.value.retry_after <= 60


async def test_a_waiting_caller_fails_at_once_when_the_next_start_becomes_too_far_away(monkeypatch: pytest.MonkeyPatch):
    long_pauses(monkeypatch)
    starts = Starts(NOT_FOUND)
    starts.may_start = anyio.Event()
    async with supervised(starts) as supervisor, anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(CodexUnavailableError, match="no codex anywhere"):
                await supervisor.client(patience=50)

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        starts.may_start.set()


async def test_a_restart_is_waited_for_although_the_next_start_was_far_away(monkeypatch: pytest.MonkeyPatch):
    long_pauses(monkeypatch)
    starts = Starts(NOT_FOUND)
    async with supervised(starts) as supervisor:
        await supervisor.first_outcome()
        supervisor.restart()
        assert await supervisor.client(patience=5) is starts.clients[0]


async def test_a_patient_caller_sleeps_between_two_starts(monkeypatch: pytest.MonkeyPatch):
    long_pauses(monkeypatch)
    async with supervised(Starts(NOT_FOUND)) as supervisor, anyio.create_task_group() as group:
        await supervisor.first_outcome()
        group.start_soon(supervisor.client, 61.0)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


async def test_a_caller_whose_patience_ends_during_the_start_gets_an_error_that_says_so():
    starts = Starts()
    starts.may_start = anyio.Event()
    async with supervised(starts) as supervisor:
        with pytest.raises(CodexUnavailableError, match="still starting"):
            await supervisor.client(patience=0.001)


# ── the end of codex ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_codex_that_ended_is_replaced_by_a_new_one():
    starts = Starts()
    async with supervised(starts) as supervisor:
        first = await starts.up(1)
        failure = first.die("the codex process ended")
        second = await starts.up(2)
        assert await supervisor.client(patience=0) is second

    assert [failure_of(state) for state in starts.states_before] == [None, failure]


async def test_the_state_names_the_failure_until_the_next_start(monkeypatch: pytest.MonkeyPatch):
    long_pauses(monkeypatch)
    starts = Starts()
    async with supervised(starts) as supervisor:
        await supervisor.first_outcome()
        failure = starts.clients[0].die("the codex process ended")
        await anyio.wait_all_tasks_blocked()
        assert failure_of(supervisor.state) == failure
        assert starts.closed == starts.clients


async def test_a_dead_client_is_not_returned_while_its_process_is_being_stopped():
    starts = Starts()
    starts.may_stop = anyio.Event()
    async with supervised(starts) as supervisor:
        await supervisor.first_outcome()
        starts.clients[0].die("the connection to codex is unusable")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(CodexUnavailableError):
            await supervisor.client(patience=0)
        starts.may_stop.set()
        assert await supervisor.client(patience=60) is starts.clients[1]


async def test_a_dead_client_is_not_returned_even_before_the_supervisor_notices():
    starts = Starts()
    async with supervised(starts) as supervisor:
        dead = await starts.up(1)
        assert await supervisor.client(patience=0) is dead
        dead.die("codex ended at this moment")
        assert supervisor.state == Up(dead)
        with pytest.raises(CodexUnavailableError):
            await supervisor.client(patience=0)


async def test_a_patient_caller_waits_for_the_client_after_a_dead_one():
    starts = Starts()
    async with supervised(starts) as supervisor:
        dead = await starts.up(1)
        dead.die("codex ended at this moment")
        assert supervisor.state == Up(dead)
        assert await supervisor.client(patience=60) is starts.clients[1]


async def test_before_the_supervisor_notices_a_dead_client_the_error_says_to_retry_soon():
    starts = Starts()
    async with supervised(starts) as supervisor:
        client = await starts.up(1)
        client.end = ConnectionLostError("not noticed yet")
        await anyio.wait_all_tasks_blocked()
        assert supervisor.state == Up(client)
        with pytest.raises(CodexUnavailableError, match="still starting") as caught:
            await supervisor.client(patience=0)
    assert caught.value.retry_after == 1


async def test_pauses_grow_while_codex_cannot_be_started(caplog: pytest.LogCaptureFixture):
    failures = [CodexError(f"start {number}") for number in range(5)]
    starts = Starts(*failures)
    async with supervised(starts) as supervisor:
        await supervisor.client(patience=60)

    assert [failure_of(state) for state in starts.states_before] == [None, *failures]
    assert pauses(caplog) == ["0.001", "0.002", "0.004", "0.004", "0.004"]


async def test_pauses_also_grow_when_codex_keeps_ending_soon_after_its_start(caplog: pytest.LogCaptureFixture):
    starts = Starts()
    async with supervised(starts):
        for number in (1, 2, 3):
            client = await starts.up(number)
            client.die("again")
        await starts.up(4)

    assert pauses(caplog) == ["0.001", "0.002", "0.004"]


async def test_a_codex_that_lived_long_is_started_again_after_the_first_pause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(under_test, "STEADY_AFTER", -1.0)
    starts = Starts()
    async with supervised(starts):
        for number in (1, 2, 3):
            client = await starts.up(number)
            client.die(f"end {number}")
        await starts.up(4)

    assert pauses(caplog) == ["0.001", "0.001", "0.001"]


# ── restarting on purpose ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_restart_stops_the_old_codex_and_starts_a_new_one_without_a_pause(monkeypatch: pytest.MonkeyPatch):
    long_pauses(monkeypatch)
    starts = Starts()
    async with supervised(starts) as supervisor:
        await supervisor.first_outcome()
        supervisor.restart()
        assert supervisor.state == Starting()
        assert await supervisor.client(patience=60) is starts.clients[1]
        assert starts.closed == starts.clients[:1]

    assert starts.states_before == [Starting(), Starting()]


async def test_a_caller_does_not_get_the_old_client_while_it_is_being_stopped():
    starts = Starts()
    starts.may_stop = anyio.Event()
    async with supervised(starts) as supervisor:
        await supervisor.first_outcome()
        supervisor.restart()
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(CodexUnavailableError, match="still starting"):
            await supervisor.client(patience=0)
        starts.may_stop.set()
        assert await supervisor.client(patience=60) is starts.clients[1]


async def test_a_restart_during_a_start_begins_another_start():
    starts = Starts()
    starts.may_start = anyio.Event()
    async with supervised(starts) as supervisor:
        await anyio.wait_all_tasks_blocked()
        supervisor.restart()
        await anyio.wait_all_tasks_blocked()
        assert starts.states_before == [Starting(), Starting()]
        starts.may_start.set()
        assert await supervisor.client(patience=60) is starts.clients[0]


async def test_a_restart_before_anything_runs_does_no_harm():
    starts = Starts()
    starts.supervisor.restart()
    async with supervised(starts) as supervisor:
        assert await supervisor.first_outcome() == Up(starts.clients[0])


async def test_a_cancelled_supervisor_stops_codex():
    starts = Starts()
    async with supervised(starts) as supervisor:
        await supervisor.first_outcome()

    assert starts.closed == starts.clients
    assert len(starts.clients) == 1


# ── replacing ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_replaced_codex_continues_until_it_is_unused(monkeypatch: pytest.MonkeyPatch):
    long_pauses(monkeypatch)
    starts = Starts()
    starts.together = 2
    async with supervised(starts) as supervisor:
        old = await supervisor.client(patience=60)
        old.subscribe("one")
        old.subscribe("two")
        supervisor.replace(old)
        assert supervisor.state == Starting()
        assert await supervisor.client(patience=60) is starts.clients[1]
        old.unsubscribe("one")
        await anyio.wait_all_tasks_blocked()
        assert starts.closed == []
        old.unsubscribe("two")
        await anyio.wait_all_tasks_blocked()
        assert starts.closed == starts.clients[:1]
        assert supervisor.state == Up(starts.clients[1])


async def test_a_replaced_codex_that_dies_does_not_affect_the_new_one():
    starts = Starts()
    starts.together = 2
    async with supervised(starts) as supervisor:
        old = await supervisor.client(patience=60)
        old.subscribe("one")
        supervisor.replace(old)
        await supervisor.client(patience=60)
        starts.clients[0].die("gone")
        await anyio.wait_all_tasks_blocked()
        assert starts.closed == starts.clients[:1]
        assert supervisor.state == Up(starts.clients[1])


async def test_several_requests_to_replace_a_codex_replace_it_once():
    starts = Starts()
    starts.together = 2
    async with supervised(starts) as supervisor:
        old = await supervisor.client(patience=60)
        supervisor.replace(old)
        supervisor.replace(old)
        await supervisor.client(patience=60)
        supervisor.replace(old)
        await anyio.wait_all_tasks_blocked()
        assert len(starts.clients) == 2
        assert starts.closed == starts.clients[:1]
