"""What a request's history says: finished exchanges of a user and the agent, and the new messages of the user.

1. The messages of users count as they are, and of each answer its last message: clients drop or change the rest.
   Commentary counts only if nothing else was said.
2. System messages are no part of a conversation's identity: some clients put the time in them.
3. The key of a conversation is a hash over its folder and its exchanges; a request finds its thread by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct

from bridge.agents.client_tools import in_thread
from bridge.conversation.events import APPROVAL
from bridge.conversation.prompt import Item, message
from bridge.errors import invalid_request
from bridge.openai.chat.activity import final_answer

Parts = Sequence[Mapping[str, Any]]
"""The content of a message."""


class History(Struct, frozen=True):
    """A request's items, sorted by their meaning for an agent."""

    visible: tuple[Item, ...]
    """The messages of the finished exchanges, and the calls of the client's tools."""
    exchanges: tuple[tuple[tuple[Parts, ...], str], ...]
    """The users' messages and the answer of each."""
    new: tuple[Parts, ...]
    """The user's messages that are not answered yet."""
    notes: tuple[Item, ...]
    """The system messages."""

    def key(self, folder: str) -> str | None:
        """Return the key of the conversation that the request continues; None if it begins one."""
        return _key(folder, self.exchanges) if self.exchanges else None

    def next_key(self, folder: str, answer: str) -> str:
        """Return the key of the conversation once the request has this answer."""
        return _key(folder, (*self.exchanges, (self.new, answer.rstrip())))

    def notes_digest(self) -> str:
        """Return a digest of the system messages."""
        return hashlib.blake2b(orjson.dumps(self.notes), digest_size=16).hexdigest()

    def before_input(self) -> list[Item]:
        """Return the new messages before the last one, as items."""
        return [{"type": "message", "role": "user", "content": parts} for parts in self.new[:-1]]

    def turn_input(self) -> list[dict[str, Any]]:
        """Return the last message as the input of a turn."""
        return as_input(self.new[-1])

    def messages_since(self, earlier: History) -> list[list[dict[str, Any]]]:
        """Return the users' messages that an earlier request of the conversation did not have, as inputs of a turn."""
        new = self._users() - earlier._users()
        return [as_input(parts) for parts in self.new[-new:]] if new > 0 else []

    def _users(self) -> int:
        return sum(len(users) for users, _ in self.exchanges) + len(self.new)


def as_input(parts: Parts) -> list[dict[str, Any]]:
    """Return the content of a message as the input of a turn."""
    return [_user_input(part) for part in parts]


def read_history(items: Iterable[Item], notes: Sequence[Item] = (), *, is_resumed: bool = False) -> History:
    """Sort the items of a request; `notes` are further system messages.

    A request that resumes a turn may end with what the agent said before it asked.

    Raises:
        ApiError: 400, the last message is not a user's.
    """
    visible: list[Item] = []
    exchanges: list[tuple[tuple[Parts, ...], str]] = []
    users: list[Parts] = []
    system: list[Item] = [*notes]
    answer: str | None = None
    only_commentary = False
    unanswered: list[Item] = []
    called: set[str] = set()
    for item in items:
        match item:
            case {"type": "message", "role": "user", "content": parts}:
                if answer is not None:
                    exchanges.append((tuple(users), answer))
                    users, answer = [], None
                    visible += unanswered
                    unanswered = []
                users.append(parts)
                unanswered.append(item)
            case {"type": "message", "role": "assistant", "content": parts}:
                text = final_answer("".join(part.get("text", "") for part in parts)).rstrip()
                is_commentary = item.get("phase") == "commentary"
                if answer is None or only_commentary or not is_commentary:
                    answer, only_commentary = text, is_commentary
                unanswered.append({**item, **message("assistant", text)})
            case {"type": "message"}:
                system.append(item)
            case {"type": "function_call", "name": name, "call_id": call_id} if name != APPROVAL:
                called.add(call_id)
                unanswered.append(in_thread(item))
            case {"type": "function_call_output", "call_id": call_id} if call_id in called:
                unanswered.append(item)
            case _:
                pass  # what the agent did between its messages
    if (answer is not None and not is_resumed) or not users:
        raise invalid_request("An agent needs a message of the user at the end of the conversation.")
    return History(tuple(visible), tuple(exchanges), tuple(users), tuple(system))


def _key(folder: str, exchanges: Iterable[tuple[Sequence[Parts], str]]) -> str:
    key = folder
    for users, answer in exchanges:
        key = hashlib.blake2b(orjson.dumps([key, users, answer]), digest_size=16).hexdigest()
    return key


def _user_input(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "input_image":
        return {"type": "image", "url": part["image_url"]}
    return {"type": "text", "text": part["text"]}
