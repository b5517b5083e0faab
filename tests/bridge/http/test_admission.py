from __future__ import annotations

import anyio
import pytest

from bridge.errors import ApiError
from bridge.http import admission as admission_module
from bridge.http.admission import Admission


async def test_stopping_without_open_answers_ends_at_once() -> None:
    admission = Admission()
    with anyio.fail_after(5):
        await admission.stop(grace=3600)
    assert admission.stopping


async def test_an_open_answer_may_finish_within_the_grace_time() -> None:
    admission, may_end, opened, stopped = Admission(), anyio.Event(), anyio.Event(), anyio.Event()
    cancelled: list[bool] = []

    async def answer() -> None:
        async with admission.answer() as scope:
            opened.set()
            await may_end.wait()
        cancelled.append(scope.cancelled_caught)

    async def stop() -> None:
        await admission.stop(grace=3600)
        stopped.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            await opened.wait()
            tasks.start_soon(stop)
            await anyio.wait_all_tasks_blocked()
            assert not stopped.is_set()
            may_end.set()
    assert stopped.is_set()
    assert cancelled == [False]


async def test_stopping_waits_for_the_last_of_several_answers() -> None:
    admission, stopped = Admission(), anyio.Event()
    may_end = [anyio.Event() for _ in range(3)]

    async def answer(gate: anyio.Event) -> None:
        async with admission.answer():
            await gate.wait()

    async def stop() -> None:
        await admission.stop(grace=3600)
        stopped.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for gate in may_end:
                tasks.start_soon(answer, gate)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(stop)
            for gate in may_end:
                await anyio.wait_all_tasks_blocked()
                assert not stopped.is_set()
                gate.set()
    assert stopped.is_set()


async def test_an_answer_that_is_open_after_the_grace_time_is_cancelled() -> None:
    admission, opened = Admission(), [anyio.Event(), anyio.Event()]
    cancelled: list[bool] = []

    async def answer(is_open: anyio.Event) -> None:
        async with admission.answer() as scope:
            is_open.set()
            await anyio.sleep_forever()
        cancelled.append(scope.cancelled_caught)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for is_open in opened:
                tasks.start_soon(answer, is_open)
                await is_open.wait()
            await admission.stop(grace=0)
    assert cancelled == [True, True]


async def test_an_answer_that_failed_is_no_longer_open() -> None:
    admission = Admission()
    with pytest.raises(ZeroDivisionError):
        async with admission.answer():
            raise ZeroDivisionError
    with anyio.fail_after(5):
        await admission.stop(grace=3600)


async def test_a_stopping_server_admits_no_answer() -> None:
    admission = Admission()
    await admission.stop(grace=0)
    with pytest.raises(ApiError, match="The server is stopping") as caught:
        async with admission.answer():
            pytest.fail("the block was entered")
    assert (caught.value.status, caught.value.code) == (503, "codex_unavailable")
    assert caught.value.headers == {"retry-after": "5"}


# ── too many at once ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_waits_for_its_turn_and_then_runs() -> None:
    admission, ran = Admission(most=1, patience=3600), list[str]()

    async def ask(name: str) -> None:
        async with admission.answer(name):
            ran.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, admission.answer("first"):
            tasks.start_soon(ask, "second")
            await anyio.wait_all_tasks_blocked()
            assert admission.states() == {"running": 1, "waiting": 1, "limit": 1}
            assert ran == []
    assert ran == ["second"]
    assert admission.states() == {"running": 0, "waiting": 0, "limit": 1}


async def test_an_answer_that_waits_too_long_is_refused_with_a_retry_after() -> None:
    admission = Admission(most=1, patience=0)
    async with admission.answer("first"):
        with pytest.raises(ApiError, match="--answers") as caught:
            async with admission.answer("second"):
                pytest.fail("the block was entered")
    assert (caught.value.status, caught.value.code) == (429, "too_many_requests")
    assert caught.value.headers == {"retry-after": "5"}
    assert admission.states()["waiting"] == 0


async def test_a_queue_that_is_full_refuses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "MOST_WAITING", 0)
    admission = Admission(most=1, patience=3600)
    with anyio.fail_after(5):
        async with admission.answer("first"):
            with pytest.raises(ApiError, match="at once"):
                async with admission.answer("second"):
                    pytest.fail("the block was entered")


async def test_a_client_that_leaves_while_it_waits_takes_no_place() -> None:
    admission, ran = Admission(most=1, patience=3600), list[str]()

    async def ask(name: str) -> None:
        async with admission.answer(name):
            ran.append(name)

    with anyio.fail_after(5):
        async with (
            anyio.create_task_group() as tasks,
            admission.answer("first"),
            anyio.create_task_group() as leaving,
        ):
            leaving.start_soon(ask, "leaves")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ask, "stays")
            await anyio.wait_all_tasks_blocked()
            leaving.cancel_scope.cancel()
    assert ran == ["stays"]
    assert admission.states() == {"running": 0, "waiting": 0, "limit": 1}


async def test_a_client_that_leaves_just_when_it_is_called_passes_its_place_on() -> None:
    admission, ran = Admission(most=1, patience=3600), list[str]()

    async def ask(name: str) -> None:
        async with admission.answer(name):
            ran.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as leaving:
            async with admission.answer("first"):
                leaving.start_soon(ask, "leaves")
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(ask, "stays")
                await anyio.wait_all_tasks_blocked()
            leaving.cancel_scope.cancel()
    assert "stays" in ran
    assert admission.states() == {"running": 0, "waiting": 0, "limit": 1}


async def test_stopping_refuses_all_waiting_answers_at_once() -> None:
    admission, refused = Admission(most=1, patience=3600), list[str | None]()

    async def ask() -> None:
        with pytest.raises(ApiError) as caught:
            async with admission.answer("second"):
                pytest.fail("the block was entered")
        refused.append(caught.value.code)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, admission.answer("first"):
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(admission.stop, 3600)
            await anyio.wait_all_tasks_blocked()
            assert refused == ["codex_unavailable", "codex_unavailable"]
