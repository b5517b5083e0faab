from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.openai.images import check_image_url
from bridge.openai.shapes import Refused

IMAGES = {
    "png": b"\x89PNG\r\n\x1a\n" + bytes(range(200)),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(range(200)),
    "gif": b"GIF89a" + bytes(range(200)),
    "webp": b"RIFF\x00\x00\x00\x00WEBP" + bytes(range(200)),
}


def data_url(image: bytes, head: str = "data:image/png;base64,") -> str:
    return head + base64.b64encode(image).decode()


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("size", [12, 13, 47, 48, 49, 200], ids=lambda size: f"{size} bytes")
def test_an_image_that_codex_can_read_is_accepted(kind: str, size: int) -> None:
    check_image_url(data_url(IMAGES[kind][:size], f"data:image/{kind};base64,"), "x")


def test_the_bytes_decide_and_not_the_type_that_is_claimed() -> None:
    check_image_url(data_url(IMAGES["gif"], "data:image/png;base64,"), "x")


def test_a_data_url_may_carry_parameters() -> None:
    check_image_url(data_url(IMAGES["png"], "data:image/png;name=a.png;base64,"), "x")


WRONG_FORM = "expected a data URL of the form data:image/png;base64,…"
NOT_FETCHED = "codex does not fetch images; send the image itself as a data URL (data:image/png;base64,…)"
WRONG_BYTES = "the data is not a PNG, JPEG, GIF or WebP image"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.org/a.png", NOT_FETCHED),
        ("http://example.org/a.png", NOT_FETCHED),
        ("", WRONG_FORM),
        ("a.png", WRONG_FORM),
        ("file:///etc/passwd", WRONG_FORM),
        ("data:image/png;base64", WRONG_FORM),
        ("data:image/png,%89PNG", WRONG_FORM),
        ("data:text/plain;base64,iVBORw0KGgo=", WRONG_FORM),
        ("data:application/pdf;base64,iVBORw0KGgo=", WRONG_FORM),
        ("data:image/png;base64,", WRONG_BYTES),
        ("data:image/png;base64,AAAA", WRONG_BYTES),
        (data_url(b"<svg/>", "data:image/svg+xml;base64,"), WRONG_BYTES),
        (data_url(b"x" + IMAGES["png"]), WRONG_BYTES),
    ],
    ids=[
        "https",
        "http",
        "empty",
        "a name",
        "a file",
        "no comma",
        "not base64",
        "a text",
        "a PDF",
        "no bytes",
        "zeros",
        "SVG",
        "signature too late",
    ],
)
def test_what_codex_would_replace_by_a_text_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        check_image_url(url, "url")
    refused = caught.value
    assert (str(refused), refused.field, refused.code) == (
        f"Invalid image at '{{where}}': {reason}.",
        "url",
        "invalid_image_url",
    )


@pytest.mark.parametrize(
    "payload",
    ["iVBORw0KGgo", "A", "schön", data_url(IMAGES["png"], "") + "A"],
    ids=["no padding", "one character", "not ASCII", "a character too many"],
)
def test_broken_base64_is_refused(payload: str) -> None:
    with pytest.raises(Refused, match="the data is not valid base64") as caught:
        check_image_url(f"data:image/png;base64,{payload}", "x")
    assert caught.value.code == "invalid_image_url"


@settings(deadline=None)
@given(
    st.sampled_from(["", "http://", "data:", "data:image/png;base64,", "data:image/png;base64,iVBORw0KGgo"]), st.text()
)
def test_any_text_is_an_image_or_our_error(start: str, rest: str) -> None:
    try:
        check_image_url(start + rest, "x")
        return
    except Refused as refused:
        error = refused
    assert (error.field, error.code) == ("x", "invalid_image_url")


@settings(deadline=None)
@given(st.sampled_from(sorted(IMAGES)), st.binary(max_size=100))
def test_whatever_follows_the_signature_is_left_to_codex(kind: str, rest: bytes) -> None:
    check_image_url(data_url(IMAGES[kind][:8] + rest), "x")
