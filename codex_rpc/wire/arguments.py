"""Tells whether codex can parse the arguments of a tool call; only then does it ask us to run the call.

Codex parses them with serde_json; measured on 0.163.0 and 0.171.0.
"""

from __future__ import annotations

import json
from typing import NoReturn

from codex_rpc.wire.messages import is_deeper_than

MAX_DEPTH = 127
"""Levels of nested objects and arrays; serde_json rejects one more."""


def codex_can_parse(arguments: str) -> bool:
    """Return whether `arguments` is JSON of any type that codex accepts.

    Numbers are unbounded. An empty text, text after the value, NaN, half a surrogate pair and deep nesting are
    rejected.
    """
    try:
        value = json.loads(arguments, parse_constant=_reject, parse_int=str, parse_float=str)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return not is_deeper_than(value, MAX_DEPTH)


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
