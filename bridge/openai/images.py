"""Checks images inside requests, because codex replaces one that it cannot read by a text of its own."""

from __future__ import annotations

import base64
import binascii

from bridge.openai.shapes import Refused

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")
"""How PNG, JPEG, GIF and WebP files begin."""

_HEAD = 64
"""Characters of base64 that are enough to see the signature; a multiple of four."""


def check_image_url(url: str, field: str) -> None:
    """Accept a `data:` URL with a PNG, JPEG, GIF or WebP image in base64; `field` has it in its shape.

    Raises:
        Refused: naming what is wrong.
    """
    if url.startswith(("http://", "https://")):
        raise _invalid(
            "codex does not fetch images; send the image itself as a data URL (data:image/png;base64,…)", field
        )
    head, comma, payload = url.partition(",")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        raise _invalid("expected a data URL of the form data:image/png;base64,…", field)
    try:
        start = base64.b64decode(payload[:_HEAD])
        if len(payload) % 4:
            raise binascii.Error("its length is not a multiple of four")
    except (binascii.Error, ValueError) as error:
        raise _invalid(f"the data is not valid base64: {error}", field) from None
    if not start.startswith(_SIGNATURES):
        raise _invalid("the data is not a PNG, JPEG, GIF or WebP image", field)


def _invalid(reason: str, field: str) -> Refused:
    return Refused(field, f"Invalid image at '{{where}}': {reason}.", "invalid_image_url")
