"""The routes of conversations and their items."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bridge.config import Settings
from bridge.errors import invalid_request, store_failed
from bridge.http.body import read_json
from bridge.http.compaction import Sealing
from bridge.keys.live import id_of
from bridge.openai.conversations import (
    PREFIX,
    conversation_not_found,
    conversation_object,
    item_not_found,
    read_body,
    read_items,
)
from bridge.openai.responses.compaction import needs_key
from bridge.openai.responses.input_items import Page, page
from bridge.openai.responses.object import ENCRYPTED, Object, without_encrypted
from bridge.store.conversations import Conversation
from bridge.store.open import Store
from bridge.store.response import Item, StoreError, id_in_store

T = TypeVar("T")


class Conversations:
    """The handlers of these routes."""

    def __init__(self, store: Store, unique: Callable[[], str], now: Callable[[], int], settings: Settings) -> None:
        """`unique` returns a new UUID, `now` the time in epoch seconds."""
        self._store = store
        self._sealing = Sealing(store)
        self._unique = unique
        self._now = now
        self._settings = settings

    async def create(self, request: Request) -> Response:
        """POST /conversations."""
        fields = read_body(await read_json(request, self._settings))
        items = await self._read_items(fields.items or [])
        place = id_in_store(PREFIX + self._unique().replace("-", ""), id_of(request.scope))
        conversation = Conversation(place, self._now(), fields.metadata or {})
        await _result(self._store.conversations.put(conversation))
        await _result(self._store.conversations.add(conversation.id, items))
        return JSONResponse(conversation_object(conversation))

    async def retrieve(self, request: Request) -> Response:
        """GET /conversations/{id}."""
        return JSONResponse(conversation_object(await self._conversation(request)))

    async def update(self, request: Request) -> Response:
        """POST /conversations/{id}, which replaces the metadata."""
        fields = read_body(await read_json(request, self._settings))
        conversation = replace(await self._conversation(request), metadata=fields.metadata or {})
        await _result(self._store.conversations.put(conversation))
        return JSONResponse(conversation_object(conversation))

    async def delete(self, request: Request) -> Response:
        """DELETE /conversations/{id}."""
        conversation_id: str = request.path_params["id"]
        if not await _result(self._store.conversations.delete(_place(request))):
            raise conversation_not_found(conversation_id)
        return JSONResponse({"id": conversation_id, "object": "conversation.deleted", "deleted": True})

    async def add_items(self, request: Request) -> Response:
        """POST /conversations/{id}/items."""
        conversation_id: str = request.path_params["id"]
        fields = read_body(await read_json(request, self._settings))
        if not fields.items:
            raise invalid_request("'items' must hold at least one item.", "items", "empty_array")
        items = await self._read_items(fields.items)
        if not await _result(self._store.conversations.add(_place(request), items)):
            raise conversation_not_found(conversation_id)
        added = Page(limit=len(items), descending=False)
        return JSONResponse(page(items, added, encrypted=_wants_encrypted(request)))

    async def list_items(self, request: Request) -> Response:
        """GET /conversations/{id}/items."""
        bounds = Page.read(request.query_params)
        return JSONResponse(page(await self._items(request), bounds, encrypted=_wants_encrypted(request)))

    async def retrieve_item(self, request: Request) -> Response:
        """GET /conversations/{id}/items/{item}."""
        item_id: str = request.path_params["item"]
        for item in await self._items(request):
            if item["id"] == item_id:
                return JSONResponse(item if _wants_encrypted(request) else without_encrypted(item))
        raise item_not_found(request.path_params["id"], item_id)

    async def delete_item(self, request: Request) -> Response:
        """DELETE /conversations/{id}/items/{item}."""
        conversation, item_id = await self._conversation(request), request.path_params["item"]
        if not await _result(self._store.conversations.remove(conversation.id, item_id)):
            raise item_not_found(conversation.public_id, item_id)
        return JSONResponse(conversation_object(conversation))

    async def _conversation(self, request: Request) -> Conversation:
        conversation_id: str = request.path_params["id"]
        found = await _result(self._store.conversations.get(_place(request)))
        if found is None:
            raise conversation_not_found(conversation_id)
        return found

    async def _items(self, request: Request) -> list[Item]:
        conversation_id: str = request.path_params["id"]
        items = await _result(self._store.conversations.items(_place(request)))
        if items is None:
            raise conversation_not_found(conversation_id)
        return items

    async def _read_items(self, values: Sequence[Any]) -> list[Object]:
        unseal = (await self._sealing.get()).open if needs_key(values) else None
        return read_items(values, self._unique, unseal)


def _place(request: Request) -> str:
    """Return the id in the store of the conversation that a path names."""
    return id_in_store(request.path_params["id"], id_of(request.scope))


def _wants_encrypted(request: Request) -> bool:
    wanted = request.query_params
    return ENCRYPTED in {*wanted.getlist("include"), *wanted.getlist("include[]")}


async def _result(answer: Awaitable[T]) -> T:
    """Await an answer of the store.

    Raises:
        ApiError: 500, the store failed.
    """
    try:
        return await answer
    except StoreError as error:
        raise store_failed(str(error)) from error
