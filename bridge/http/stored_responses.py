"""The routes of responses that exist: retrieve, follow, cancel, delete, and list their input items."""

from __future__ import annotations

import re
from collections.abc import Mapping

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from bridge.errors import invalid_request, upstream_failed
from bridge.http.background import Background
from bridge.http.response_data import ResponseData
from bridge.http.running_responses import RunningResponse
from bridge.keys.live import id_of
from bridge.openai.responses.input_items import Page, input_items, page
from bridge.openai.responses.object import ACTIVE, ENCRYPTED
from bridge.store.response import id_in_store

CANCEL_PATIENCE = 5.0
"""Seconds that a cancelled response may take to reach its client, which may have stopped reading."""


class StoredResponses:
    """The handlers of these routes; `running` are the responses that are generated now, by their id in the store."""

    def __init__(self, data: ResponseData, background: Background, running: Mapping[str, RunningResponse]) -> None:
        self._data = data
        self._background = background
        self._running = running

    async def retrieve(self, request: Request) -> ASGIApp:
        """GET /responses/{id}."""
        response_id, key = _named(request)
        if request.query_params.get("stream") == "true":
            return await self._follow(response_id, key, request.query_params.get("starting_after", "-1"))
        if running := self._running.get(id_in_store(response_id, key)):
            return JSONResponse(running.output.response)
        return JSONResponse((await self._data.response(response_id, key)).response)

    async def delete(self, request: Request) -> Response:
        """DELETE /responses/{id}."""
        response_id, key = _named(request)
        place = id_in_store(response_id, key)
        if place in self._running:
            raise invalid_request(f"The response {response_id!r} is still running; cancel it first.", code="running")
        await self._data.delete(response_id, key)
        self._background.forget(place)
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    async def cancel(self, request: Request) -> Response:
        """POST /responses/{id}/cancel."""
        response_id, key = _named(request)
        running = self._running.get(id_in_store(response_id, key))
        if running is None or running.output.response["status"] not in ACTIVE:
            response = running.output.response if running else (await self._data.response(response_id, key)).response
            if response["background"] and response["status"] == "cancelled":
                return JSONResponse(response)  # as the API has it, to cancel twice is no error
            message = f"The response {response_id!r} is already {response['status']}."
            raise invalid_request(message, code="not_running")
        running.cancelled = True
        if running.turn is not None:
            await running.turn.cancel()
        elif running.job is not None:
            running.scope.cancel()  # a response that waits in the background has no turn that could end it
        with anyio.move_on_after(CANCEL_PATIENCE) as reaching:
            await running.ended.wait()
        if reaching.cancelled_caught:
            running.scope.cancel()
            await running.ended.wait()
        if running.output.response["status"] in ACTIVE:
            raise upstream_failed(f"The response {response_id!r} ended before it could be cancelled.")
        return JSONResponse(running.output.response)

    async def input_items(self, request: Request) -> Response:
        """GET /responses/{id}/input_items."""
        bounds = Page.read(request.query_params)
        last = await self._data.response(*_named(request))
        chain = await self._data.before(last)
        items = [*input_items(chain), *input_items([last], output=False)]
        wanted = {*request.query_params.getlist("include"), *request.query_params.getlist("include[]")}
        return JSONResponse(page(items, bounds, encrypted=ENCRYPTED in wanted))

    async def _follow(self, response_id: str, key: str | None, after: str) -> ASGIApp:
        """Return the events of a background response after the one with a number."""
        if re.fullmatch(r"-1|\d{1,9}", after, re.ASCII) is None:
            message = f"Invalid value for 'starting_after': {after!r}; use the number of an event."
            raise invalid_request(message, "starting_after", "invalid_value")
        place = id_in_store(response_id, key)
        if (job := self._background.find(place)) is not None:
            return job.follow(int(after))
        if place not in self._running:
            await self._data.response(response_id, key)
        message = "Only the events of background responses are kept, for a while; omit 'stream' to get the response."
        raise invalid_request(message, "stream", "events_not_kept")


def _named(request: Request) -> tuple[str, str | None]:
    """Return the id of the response that the path names, and the id of the client's key."""
    return request.path_params["id"], id_of(request.scope)
