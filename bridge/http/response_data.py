"""Reads and writes the stored data of responses and conversations; failures of the store become errors of the API."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import anyio

from bridge.conversation.reasoning_owners import ReasoningOwners
from bridge.errors import ApiError, response_not_found, store_failed
from bridge.http.compaction import Sealing
from bridge.openai.conversations import conversation_not_found
from bridge.openai.responses import request as response_request
from bridge.openai.responses.compaction import needs_key
from bridge.openai.responses.fields import ResponseBody, ResponseFields
from bridge.openai.responses.input import Recent
from bridge.openai.responses.input_items import input_items
from bridge.openai.responses.object import PREFIX, Object, key_of
from bridge.store.histories import Histories
from bridge.store.last_responses import LastResponses
from bridge.store.open import Store
from bridge.store.response import Stored, StoreError, id_in_store

logger = logging.getLogger(__name__)

T = TypeVar("T")


class ResponseData:
    """The stored data that requests of the Responses API refer to."""

    def __init__(self, store: Store, owners: ReasoningOwners, longest: float) -> None:
        """`owners` learns whose reasoning the data has; `longest` is how long a history is remembered, in seconds."""
        self._store = store
        self._owners = owners
        self._histories = Histories(store, longest, anyio.current_time, note=self._note_reasoning)
        self._recent = Recent()
        self.sealing = Sealing(store)

    async def keep(self, stored: Stored) -> None:
        """Store a response; a failure is only logged, because the answer itself is complete."""
        try:
            await self._store.put(stored)
            self._histories.extend(stored)
        except StoreError as error:
            logger.error("response %s is not stored: %s", stored.id, error)

    async def add_to(self, conversation_id: str, response: Stored) -> None:
        """Add the input and output of a response to its conversation; a failure is only logged, as above.

        A failed or cancelled response adds nothing, so that the client can repeat it.
        """
        if response.response["status"] not in {"completed", "incomplete"}:
            return
        try:
            place = id_in_store(conversation_id, response.key)
            if not await self._store.conversations.add(place, list(input_items([response]))):
                logger.warning("conversation %s was deleted before its response was complete", conversation_id)
        except StoreError as error:
            logger.error("response %s is not added to conversation %s: %s", response.id, conversation_id, error)

    async def read(
        self, sent: ResponseBody, key: str | None, last: LastResponses | None = None
    ) -> tuple[response_request.ResponseRequest, Sequence[Object]]:
        """Read a request together with the responses that it continues or refers to; return it and their items.

        `key` is the id of the client's named key; `last` are the responses that the request's WebSocket keeps.

        Raises:
            ApiError: the request is invalid; it refers to what is not stored; the store failed.
        """
        history = await self._history(sent.fields, key, last)
        values = (*history, *response_request.own_values(sent))
        unseal = (await self.sealing.get()).open if needs_key(values) else None
        half_parsed = response_request.begin(sent, history, self._recent, unseal, key)
        return half_parsed.read(await self._items(half_parsed.input.references(), key)), history

    async def response(self, response_id: str, key: str | None) -> Stored:
        """Return a response that was made with a key.

        Raises:
            ApiError: 404, it is not stored; 500, the store failed.
        """
        with _store_errors():
            stored = await self._store.get(id_in_store(response_id, key))
        if stored is None:
            raise response_not_found(response_id)
        return stored

    async def before(self, stored: Stored) -> Sequence[Stored]:
        """Return all responses that a response continues, the first one first.

        Raises:
            ApiError: 400, one of them is missing; 500, the store failed.
        """
        return await self._all_before(stored.response["previous_response_id"], stored.key, self._store.chain)

    async def delete(self, response_id: str, key: str | None) -> None:
        """Delete a response that was made with a key.

        Raises:
            ApiError: 404, it is not stored; 500, the store failed.
        """
        with _store_errors():
            existed = await self._store.delete(id_in_store(response_id, key))
        if not existed:
            raise response_not_found(response_id)
        self._recent.clear()  # item references to it are invalid now

    def _note_reasoning(self, stored: Stored) -> None:
        if stored.owner is not None:
            self._owners.note(stored.output, stored.owner)

    async def _history(self, fields: ResponseFields, key: str | None, last: LastResponses | None) -> Sequence[Object]:
        """Return the items of the conversation, or of the responses, that a request continues."""
        if fields.conversation_id is not None:
            return await self._items_of(fields.conversation_id, key)
        previous = fields.previous_response_id
        if previous is not None and last is not None and (kept := last.history(previous)) is not None:
            return kept
        return await self._all_before(previous, key, self._histories.of)

    async def _items_of(self, conversation_id: str, key: str | None) -> Sequence[Object]:
        with _store_errors():
            items = await self._store.conversations.items(id_in_store(conversation_id, key))
        if items is None:
            raise conversation_not_found(conversation_id)
        return items

    async def _all_before(
        self, previous: str | None, key: str | None, read: Callable[[str], Awaitable[Sequence[T] | None]]
    ) -> Sequence[T]:
        if previous is None:
            return ()
        with _store_errors():
            found = await read(id_in_store(previous, key))
        if found is None:
            raise response_request.previous_not_found(previous)
        return found

    async def _items(self, ids: Sequence[str], key: str | None) -> Mapping[str, Object]:
        """Return items of stored responses by id; the id of an item contains the key of its response."""
        found: dict[str, Object] = {}
        for response in {response for item_id in ids if (response := key_of(item_id))}:
            try:
                stored = await self.response(PREFIX + response, key)
            except ApiError:
                continue
            self._note_reasoning(stored)
            found |= {item["id"]: item for item in input_items([stored])}
        return {item_id: found[item_id] for item_id in ids if item_id in found}


@contextmanager
def _store_errors() -> Generator[None]:
    try:
        yield
    except StoreError as error:
        raise store_failed(str(error)) from error
