from __future__ import annotations

import anyio
import pytest

from bridge.admission import Admission
from bridge.errors import ApiError


async def test_with_nothing_open_stopping_is_over_at_once() -> None:
    admission = Admission()
    with anyio.fail_after(5):
        await admission.stop(grace=3600)
    assert admission.stopping


async def test_an_open_answer_may_end_within_the_grace() -> None:
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


async def test_an_answer_that_is_open_after_the_grace_is_cancelled() -> None:
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


async def test_an_answer_that_failed_is_open_no_more() -> None:
    admission = Admission()
    with pytest.raises(ZeroDivisionError):
        async with admission.answer():
            raise ZeroDivisionError
    with anyio.fail_after(5):
        await admission.stop(grace=3600)


async def test_while_the_server_stops_no_answer_is_begun() -> None:
    admission = Admission()
    await admission.stop(grace=0)
    with pytest.raises(ApiError, match="The server is stopping") as caught:
        async with admission.answer():
            pytest.fail("the block was entered")
    assert (caught.value.status, caught.value.code) == (503, "codex_unavailable")
    assert caught.value.headers == {"retry-after": "5"}
