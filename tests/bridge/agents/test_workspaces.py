from __future__ import annotations

import anyio
import pytest

from bridge.agents.workspaces import Workspaces
from bridge.config import AgentSettings
from bridge.errors import ApiError

pytestmark = pytest.mark.anyio

OUTER = AgentSettings("outer", "/srv/site", write=True)
INNER = AgentSettings("inner", "/srv/site/pages/deep", write=True)
OTHER = AgentSettings("other", "/srv/sites", write=True)
READER = AgentSettings("reader", "/srv/site")


@pytest.mark.parametrize(("second", "waits"), [(OUTER, True), (INNER, True), (OTHER, False), (READER, False)])
async def test_only_writers_of_one_folder_wait_for_each_other(second: AgentSettings, waits: bool) -> None:
    workspaces = Workspaces([INNER, OUTER, OTHER, READER], patience=0.01)
    async with workspaces.hold(OUTER):
        if waits:
            with pytest.raises(ApiError) as caught:
                async with workspaces.hold(second):
                    pass
            assert (caught.value.status, caught.value.code) == (429, "workspace_busy")
        else:
            async with workspaces.hold(second):
                pass
    async with workspaces.hold(second):
        pass


async def test_a_waiting_writer_gets_the_folder_when_it_is_free() -> None:
    workspaces = Workspaces([OUTER, INNER], patience=5)
    order: list[str] = []
    waiting = anyio.Event()

    async def second() -> None:
        waiting.set()
        async with workspaces.hold(INNER):
            order.append("second")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, workspaces.hold(OUTER):
            tasks.start_soon(second)
            await waiting.wait()
            order.append("first")
    assert order == ["first", "second"]
