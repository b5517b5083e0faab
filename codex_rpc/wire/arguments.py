"""Tells whether codex can parse the arguments of a tool call. It asks us to run a call only if it can.

Codex parses them with serde_json; measured on 0.163.0 and 0.171.0.
"""

from __future__ import annotations

import json
from typing import NoReturn

from codex_rpc.wire.messages import is_deeper_than

MAX_DEPTH = 127
"""Objects and arrays inside each other; serde_json stops at the next one."""


def codex_can_parse(arguments: str) -> bool:
    """Return whether `arguments` is JSON of any type that codex accepts.

    Numbers have no bounds. An empty text, text after the value, NaN, half a surrogate pair and deep nesting are not
    accepted.
    """
    try:
        value = json.loads(arguments, parse_constant=_reject, parse_int=str, parse_float=str)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return not is_deeper_than(value, MAX_DEPTH)


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
