from __future__ import annotations

import pytest

from bridge.http.access import check_access, check_origin, check_page, client_of

KEY = "s3cret"


@pytest.mark.parametrize(
    "peer",
    ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"],
    ids=["IPv4", "all of 127/8", "IPv6", "IPv4 in IPv6", "IPv4 in IPv6 as numbers"],
)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer anything"}], ids=["no key sent", "some key sent"])
def test_without_a_key_this_machine_is_admitted_with_any_key(peer: str, headers: dict[str, str]) -> None:
    assert check_access(peer, headers, None, keyed=False) is None


@pytest.mark.parametrize(
    "peer",
    [
        "192.168.1.7",
        "0.0.0.0",
        "8.8.8.8",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        "2001:db8::1",
        "localhost",
        "",
        None,
    ],
)
def test_without_a_key_other_peers_are_refused_and_read_how_to_get_access(peer: str | None) -> None:
    """A peer without an address may be remote: its connection was reset before it was accepted."""
    refusal = check_access(peer, {"authorization": "Bearer anything"}, None, keyed=False)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (401, "invalid_api_key")
    assert "CODEX_OPENAI_PROXY_API_KEY" in refusal.message


@pytest.mark.parametrize("peer", ["127.0.0.1", "8.8.8.8", None], ids=["this machine", "elsewhere", "no address"])
@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"authorization": f"BEARER  {KEY} "},
        {"api-key": KEY},
        {"authorization": "Basic dXNlcjpwdw==", "api-key": KEY},
        {"authorization": "Bearer ", "api-key": KEY},
    ],
    ids=["Bearer", "lower case", "stray spaces", "Azure", "Azure and Basic", "Azure and an empty Bearer"],
)
def test_a_peer_with_the_key_is_admitted_from_anywhere(peer: str | None, headers: dict[str, str]) -> None:
    assert check_access(peer, headers, KEY, keyed=True) is None


@pytest.mark.parametrize("peer", ["127.0.0.1", "8.8.8.8", None], ids=["this machine", "elsewhere", "no address"])
@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "No API key was sent."),
        ({"authorization": KEY}, "No API key was sent."),
        ({"authorization": f"Basic {KEY}"}, "No API key was sent."),
        ({"authorization": "Bearer "}, "No API key was sent."),
        ({"authorization": "Bearer wrong"}, "The API key is not one of this server"),
        ({"authorization": f"Bearer {KEY}x"}, "The API key is not one of this server"),
        ({"authorization": f"Bearer {KEY[:-1]}"}, "The API key is not one of this server"),
        ({"authorization": f"Bearer {KEY.upper()}"}, "The API key is not one of this server"),
        ({"authorization": "Bearer schlüssel"}, "The API key is not one of this server"),
        ({"api-key": "wrong"}, "The API key is not one of this server"),
        ({"api-key": ""}, "The API key is not one of this server"),
    ],
    ids=[
        "none",
        "no scheme",
        "Basic",
        "empty Bearer",
        "wrong",
        "longer",
        "shorter",
        "other case",
        "not ASCII",
        "wrong Azure",
        "empty Azure",
    ],
)
def test_with_a_key_set_requests_without_it_are_refused(
    peer: str | None, headers: dict[str, str], message: str
) -> None:
    refusal = check_access(peer, headers, KEY, keyed=True)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.headers) == (401, "invalid_api_key", {"www-authenticate": "Bearer"})
    assert refusal.message.startswith(message)
    assert KEY not in refusal.message


# ── private pages ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:11435",
        "127.0.0.1:11435",
        "127.8.8.8",
        "[::1]:11435",
        "LocalHost.",
        "a.localhost:1",
    ],
)
def test_without_a_key_a_private_page_is_shown_under_a_name_of_this_machine(host: str) -> None:
    assert check_origin({"host": host}, keyed=False) is None
    assert check_origin({"host": host, "origin": f"http://{host}"}, keyed=False) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "rebound.example",
        "rebound.example:11435",
        "localhost.example",
        "192.168.1.7:11435",
        "x.trycloudflare.com",
        "0.0.0.0:11435",
        "[::ffff:7f00:1]:11435",
        "[::ffff:127.0.0.1]:11435",
    ],
)
def test_without_a_key_a_private_page_is_not_shown_under_any_other_name(host: str) -> None:
    refusal = check_origin({"host": host, "origin": f"http://{host}"}, keyed=False)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (403, "foreign_page")
    assert check_origin({"host": host}, keyed=True) is None


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize(
    "origin", ["https://foreign.example", "null", "", "http://localhost:3000", "vscode-file://vscode-app"]
)
def test_a_page_of_another_origin_is_refused_whether_there_is_a_key_or_not(origin: str, keyed: bool) -> None:
    refusal = check_origin({"host": "localhost:11435", "origin": origin}, keyed=keyed)
    assert refusal is not None
    assert refusal.status == 403


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "something new"])
def test_an_image_or_link_on_another_page_is_refused_though_it_has_no_origin(site: str, keyed: bool) -> None:
    refusal = check_origin({"host": "localhost", "sec-fetch-site": site}, keyed=keyed)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (403, "foreign_page")


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_a_typed_address_and_requests_of_the_status_page_are_answered(site: str) -> None:
    assert check_origin({"host": "localhost", "sec-fetch-site": site}, keyed=False) is None


def test_the_status_page_with_a_key_may_be_under_a_proxy_that_changes_the_host() -> None:
    headers = {"host": "localhost", "origin": "https://proxy.example", "sec-fetch-site": "same-origin"}
    assert check_origin(headers, keyed=True) is None
    assert check_origin(headers, keyed=False) is not None
    assert check_origin({**headers, "sec-fetch-site": "same-site"}, keyed=True) is not None


# ── the API ──────────────────────────────────────────────────────────────────────────────────────────────────────────

OF_THIS_MACHINE = [
    "http://localhost:3000",
    "http://127.0.0.1:8080",
    "https://[::1]:1",
    "http://tauri.localhost",
    "http://0.0.0.0:8000",
    "http://[::]:8000",
]
NO_PAGE = ["vscode-file://vscode-app", "tauri://localhost", "chrome-extension://abcdef", "file://"]
FOREIGN = [
    "https://foreign.example",
    "http://rebound.example:11435",
    "HTTP://foreign.example",
    "http://localhost.foreign.example",
    "http://nolocalhost:3000",
    "http://192.168.1.7",
    "null",
    "",
    "http://",
    "vscode-file://",
]


@pytest.mark.parametrize("origin", OF_THIS_MACHINE + NO_PAGE)
def test_without_a_key_pages_of_this_machine_and_editors_may_use_the_api(origin: str) -> None:
    assert check_page({"origin": origin}, keyed=False) is None


@pytest.mark.parametrize("origin", FOREIGN)
def test_without_a_key_a_foreign_page_may_not_use_the_api_and_reads_what_to_do(origin: str) -> None:
    refusal = check_page({"host": origin.partition("://")[2], "origin": origin}, keyed=False)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (403, "foreign_page")
    assert (origin if origin != "null" else "does not state its origin") in refusal.message
    assert f"--allow-origin {origin}" in refusal.message
    assert "CODEX_OPENAI_PROXY_API_KEY" in refusal.message


@pytest.mark.parametrize("origin", FOREIGN)
def test_an_allowed_origin_needs_no_key_and_a_private_path_stays_closed(origin: str) -> None:
    headers = {"host": "localhost", "origin": origin}
    assert check_page(headers, (origin,), keyed=False) is None
    assert check_page(headers, ("*",), keyed=False) is None
    assert check_page(headers, ("https://chat.example", origin + "x"), keyed=False) is not None
    assert check_origin(headers, keyed=False) is not None


@pytest.mark.parametrize("origin", FOREIGN)
def test_with_a_key_a_page_is_a_client_like_any_other(origin: str) -> None:
    assert check_page({"origin": origin}, keyed=True) is None


def test_a_client_that_is_not_a_browser_sends_no_origin() -> None:
    assert check_page({"host": "x.trycloudflare.com"}, keyed=False) is None


def test_clients_differ_by_address_key_and_user_agent() -> None:
    def client(peer: str, **headers: str) -> str:
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return client_of({"client": (peer, 1), "headers": pairs})

    clients = [
        client("127.0.0.1"),
        client("127.0.0.2"),
        client("127.0.0.1", authorization="Bearer a"),
        client("127.0.0.1", authorization="Bearer b"),
        client("127.0.0.1", api_key="a"),
        client("127.0.0.1", user_agent="Cursor/1.0"),
    ]
    assert len(set(clients)) == len(clients)
    assert client("127.0.0.1", accept="x") == client("127.0.0.1", accept="y")
    assert client_of({"type": "http"}) == client_of({"client": None, "headers": []})
