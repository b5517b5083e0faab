"""The check of the named keys."""

from __future__ import annotations

import time

from bridge.doctor.findings import Finding, fail, ok, skip, warn
from bridge.doctor.subject import Subject
from bridge.keys.file import KeysError, read_keys


async def named_keys(subject: Subject) -> Finding:
    """Check that the file of the named keys can be used, and that none of them has expired."""
    path = subject.keys_file
    if path is None or not path.exists():
        return skip("there are none", "to give a client a key of its own: codex-openai-proxy keys add NAME")
    try:
        found = read_keys(path).values()
    except KeysError as error:
        reason, _, remedy = str(error).rpartition("; ")
        return fail(reason, remedy)
    expired = [key.name for key in found if key.has_expired(time.time())]
    if expired:
        remedy = f"revoke what is not needed any more: codex-openai-proxy keys revoke {expired[0]}"
        return warn(f"{len(found)} in {path}; expired: {', '.join(expired)}", remedy)
    return ok(f"{len(found)} in {path}")
