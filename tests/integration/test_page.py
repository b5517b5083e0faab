"""The status page in a real browser: what it shows, what it hides, and its actions."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.http.page import MEDIA
from bridge.keys.changes import add_key
from tests.harness.account_server import account_server
from tests.harness.agents import DIRECT, needs_sandbox, runs, sleepers, until
from tests.harness.approvals import CODEX, text_of, writes
from tests.harness.browser import Page, browser, browser_page, page_of
from tests.harness.codex_home import write_home
from tests.harness.program import Server, http_client, program
from tests.harness.proxy import served
from tests.harness.script import Hold, Text, Usage, begun, http_error, reply
from tests.harness.upstream import Upstream

KEY = "sk-made-up"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="module")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a browser, whose start takes longer than most tests."""
    with browser(tmp_path_factory.mktemp("profile")) as address:
        yield address


@pytest.fixture
async def page(devtools: str) -> AsyncGenerator[Page]:
    """A browser's page; at the end it must have no errors, and must have contacted no other host."""
    async with page_of(devtools) as opened:
        await opened.show_as(1160, 900)
        yield opened
        assert [complaint for complaint in opened.complaints if "401" not in complaint] == []
        assert [url for url in opened.requests if not url.startswith(("http://127.0.0.1:", "about:"))] == []


@pytest.fixture
async def server(upstream: Upstream, home: Path) -> AsyncGenerator[Server]:
    """A server without an API key, with a ChatGPT account."""
    with account_server() as accounts:
        write_home(home, upstream.base_url, "websocket", logged_in=False)
        accounts.write_config(home)
        accounts.log_in(home)
        accounts.used = (95, 17)
        async with served() as running:
            yield running


async def shown(page: Page, server: Server) -> None:
    await page.open(server.url)
    await page.until("document.querySelector('#shown:not([hidden])')")
    await page.until("document.querySelector('#checks li:not(.busy)')")


async def test_the_page_shows_account_quota_checks_and_what_to_paste(page: Page, server: Server) -> None:
    await shown(page, server)
    assert await page.text("#state") == "ready"
    assert await page.text("#account") == "ChatGPT Plus"
    await page.until("document.querySelector('.bar')")
    quota = await page.text("#quota")
    assert "5 hours: 95 % used" in quota
    assert "Week: 17 % used" in quota
    assert await page.evaluate("document.querySelector('.bar.bad i').style.width") == "95%"
    assert [await page.text(f"#value-{name}") for name in ("key", "url", "model")] == [
        "any",
        server.url,
        "xedoc",
    ]
    checks = await page.text("#checks")
    assert "ChatGPT Plus, a…@example.com" in checks
    assert "little quota left; 5-hour limit: 95% used" in checks
    assert await page.evaluate("document.querySelectorAll('#checks li.warn').length") == 1


async def test_the_box_streams_and_the_request_appears_with_its_figures(
    page: Page, server: Server, upstream: Upstream
) -> None:
    gate = anyio.Event()
    upstream.will_reply(reply(Text(("Blue ", "light."), Hold(gate)), usage=Usage(1000, 750, 20, 0)))
    await shown(page, server)
    await page.evaluate("document.querySelector('#try').requestSubmit()")
    await page.until("document.querySelector('#answer').textContent === 'Blue '")
    await page.until("document.querySelector('#entries .running')")
    assert await page.text("#send") == "Stop"
    gate.set()
    await page.until("document.querySelector('#answer-note').textContent")
    assert await page.text("#answer") == "Blue light."
    assert "1000 tokens in and 20 out, new thread" in await page.text("#answer-note")
    await page.until("document.querySelector('#entries .good')")
    row = (await page.text("#entries tr")).split("\t")
    assert (row[0], row[1], row[5], row[6]) == ("xedoc", "new", "75 %", "done")
    assert await page.text("#requests") == "1"
    await page.until("document.querySelector('#chart-latency .dot')")


async def test_an_answer_can_be_stopped_and_a_failure_is_shown(page: Page, server: Server, upstream: Upstream) -> None:
    upstream.will_reply(begun("Once upon").then(Hold(anyio.Event())))
    await shown(page, server)
    await page.evaluate("document.querySelector('#try').requestSubmit()")
    await page.until("document.querySelector('#answer').textContent === 'Once upon'")
    await page.evaluate("document.querySelector('#try').requestSubmit()")
    await page.until("document.querySelector('#answer-note').textContent === 'stopped'")
    upstream.respond = lambda _: http_error(400, {"error": {"message": "no such thing"}})
    await page.evaluate("document.querySelector('#try').requestSubmit()")
    await page.until("document.querySelector('#answer.failed')")
    assert "no such thing" in await page.text("#answer")
    page.complaints[:] = [complaint for complaint in page.complaints if "400" not in complaint]


async def test_a_button_copies_its_value(devtools: str, server: Server) -> None:
    may = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    async with page_of(devtools, hidden=False) as page:
        await page.call("Browser.grantPermissions", permissions=may, browserContextId=page.context)
        await shown(page, server)
        await page.evaluate("document.querySelector('[data-copy=value-model]').click()")
        await page.until("document.querySelector('[data-copy=value-model].done')")
        assert await page.evaluate("navigator.clipboard.readText()") == "xedoc"
        assert page.complaints == []


async def test_the_page_fits_a_phone_and_both_themes(page: Page, server: Server) -> None:
    async with http_client() as client:
        body = {"model": "xedoc", "messages": [{"role": "user", "content": "hi"}]}
        assert (await client.post(f"{server.base_url}/chat/completions", json=body)).status_code == 200
    for width, dark in ((390, False), (390, True), (1160, True)):
        await page.show_as(width, 800, dark=dark)
        await shown(page, server)
        await page.until("document.querySelectorAll('#chart-days .high').length === 30")
        assert await page.text("#days-sum") == "1 request, 812 in, 40 out"
        bars = "[...document.querySelectorAll('#chart-days .low')].map((bar) => bar.getBoundingClientRect().height > 1)"
        assert await page.evaluate(bars) == [*[False] * 29, True]
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        light = await page.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])")
        assert (light < 64) is dark


async def test_nothing_of_the_account_is_shown_until_the_key_is_given(page: Page, home: Path) -> None:
    del home
    async with served(api_key=KEY) as server, http_client() as client:
        for path in ("/usage", "/doctor"):
            assert (await client.get(f"{server.url}{path}")).status_code == 401
        await page.open(server.url)
        await page.until("document.querySelector('#ask-key:not([hidden])')")
        assert await page.evaluate("document.querySelector('#shown').hidden")
        for typed, until in (("wrong", "#key-refused:not(:empty)"), (KEY, "#shown:not([hidden])")):
            await page.evaluate(f"document.querySelector('#key').value = '{typed}'")
            await page.evaluate("document.querySelector('#ask-key').requestSubmit()")
            await page.until(f"document.querySelector('{until}')")
        assert await page.evaluate("sessionStorage.getItem('api-key')") == KEY
        assert await page.evaluate("localStorage.length") == 0
        await page.until(f"document.querySelector('#value-key').dataset.value === '{KEY}'")
        assert KEY not in await page.text("main")


async def test_the_page_tells_keys_apart_and_shows_the_account_to_no_named_key(
    page: Page, home: Path, upstream: Upstream, tmp_path: Path
) -> None:
    del home
    file = tmp_path / "keys.toml"
    anna = add_key(file, "anna", tokens_per_day=2000)
    ben = add_key(file, "ben", agents=("all",))
    for number in range(8):
        add_key(file, f"unused{number}")
    async with (
        served(api_key=KEY, keys_file=str(file)) as server,
        http_client(headers={"authorization": f"Bearer {anna}"}) as client,
    ):
        upstream.will_reply(reply("Hello.", usage=Usage(input=1500, cached=0, output=100, reasoning=0)))
        body = {"model": "codex", "messages": [{"role": "user", "content": "Hi."}]}
        assert (await client.post(f"{server.url}/v1/chat/completions", json=body)).status_code == 200
        await page.open(server.url)
        for typed, until in ((anna, "#key-refused:not(:empty)"), (KEY, "#shown:not([hidden])")):
            await page.until("document.querySelector('#ask-key:not([hidden])')")
            await page.evaluate(f"document.querySelector('#key').value = '{typed}'")
            await page.evaluate("document.querySelector('#ask-key').requestSubmit()")
            await page.until(f"document.querySelector('{until}')")
            if typed == anna:
                assert "the key of anna, which does not show the account" in await page.text("#key-refused")
                assert await page.evaluate("document.querySelector('#shown').hidden")
        await page.until("document.querySelector('#checks li:not(.busy)')")
        keys = await page.text("#keys")
        assert "anna: 1.6K of 2K tokens today" in keys
        assert "ben: 0 tokens today" in keys
        assert "unused5: 0 tokens today" in keys
        assert keys.endswith("and 2 more")
        assert "anna" in await page.text("#entries")
        # A key that has agents opens the page, to see what they do, and sees what is its own.
        await page.evaluate(f"sessionStorage.setItem('api-key', '{ben}')")
        await page.open(server.url)
        await page.until("document.querySelector('#shown:not([hidden])') && document.querySelector('#model option')")
        assert await page.text("#account") == "the key of ben"
        assert await page.evaluate("document.querySelector('#entries').children.length") == 0
        visible = "[...document.querySelectorAll('main h2')].filter((it) => it.checkVisibility())"
        assert await page.evaluate(f"{visible}.map((it) => it.textContent)") == ["Requests", "Try it"]
        assert not await page.evaluate("document.querySelector('.numbers').checkVisibility()")


async def press(page: Page, words: str) -> None:
    """Press the first button of an agent with these words, once the buttons can be pressed."""
    found = f"[...document.querySelectorAll('#agents button')].find((it) => it.textContent === '{words}')"
    await page.until(f"({found})?.matches(':enabled')")
    await page.evaluate(f"{found}.click()")


@needs_sandbox
@pytest.mark.usefixtures("quick_agents")
async def test_the_page_shows_what_agents_do_and_stops_and_answers_them(
    page: Page, home: Path, upstream: Upstream, tmp_path: Path
) -> None:
    del home
    folder, out, marker = tmp_path / "site", tmp_path / "outside", f"sleep 306.{os.getpid()}"
    settings = tmp_path / "config/codex-openai-proxy/config.toml"
    for one in (folder, settings.parent):
        one.mkdir(parents=True)
    settings.write_text(f"[agents.site]\nfolder = '{folder}'\nwrite = true\nask = 'client'\nmodel = '{DIRECT}'\n")
    runs_on = f"echo '<img src=x onerror=alert(1)>' > begun; {marker}"
    asks = writes(DIRECT, tmp_path / "outside #\u202e")
    gone = "document.querySelector('#agents-card').hidden"
    upstream.will_reply(runs(DIRECT, runs_on, yield_time_ms=30000), asks, reply("Done."))
    async with (
        program(CODEX_OPENAI_PROXY_API_KEY=KEY) as server,
        http_client(headers={"authorization": f"Bearer {KEY}"}) as client,
    ):

        async def respond(given: Any, **fields: Any) -> Any:
            body = {"model": "codex-agent", "input": given, "tools": [CODEX], **fields}
            return await client.post(f"{server.base_url}/responses", json=body)

        await page.open(server.url)
        await page.until("document.querySelector('#ask-key:not([hidden])')")
        assert await page.evaluate(gone)
        await page.evaluate(f"document.querySelector('#key').value = '{KEY}'")
        await page.evaluate("document.querySelector('#ask-key').requestSubmit()")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(respond, "1")
            await page.until("document.querySelector('#agents .doing code')")
            assert await page.text("#agents .doing") == runs_on
            assert not await page.evaluate("Boolean(document.querySelector('#agents img'))")
            assert str(folder) in await page.text("#agents")
            await press(page, "Stop")
        await page.until(gone)
        await until(lambda: not sleepers(marker))
        first = await respond("2")
        await page.until("document.querySelector('#agents .question')")
        assert await page.text("#agents pre") == f"echo written > {out} #⟨U+202E⟩"
        assert "May I?" in await page.text("#agents .question")
        await press(page, "Approve")
        await page.until("document.querySelector('#agents .approved')")
        assert not out.exists()
        second = await respond([], previous_response_id=first.json()["id"])
        assert text_of(second) == "Done."
        assert out.exists()
        await page.until(gone)
        out.unlink()
        upstream.will_reply(asks, reply("Done."))
        third = await respond("3", previous_response_id=second.json()["id"])
        await press(page, "Decline")
        await page.until("document.querySelector('#agents .declined')")
        assert text_of(await respond([], previous_response_id=third.json()["id"])) == "Done."
        assert not out.exists()


FOREIGN = "foreign.example"
LEAD_HERE = f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1"
ASK = """(async (url, options) => {
  try { const it = await fetch(url, options); return `${it.type} ${it.status} ${await it.text()}`; }
  catch { return "unreadable"; }
})"""
CHAT = '{"model": "xedoc-2.5-tpg", "messages": [{"role": "user", "content": "Spend."}]}'


async def test_a_foreign_page_can_neither_use_the_model_nor_read_the_account(
    tmp_path: Path, server: Server, upstream: Upstream
) -> None:
    async with browser_page(tmp_path / "profile", LEAD_HERE) as page:

        async def ask(url: str, **options: str) -> str:
            return await page.evaluate(f"{ASK}({url!r}, {options!r})")

        await page.open(
            f"http://{FOREIGN}:{server.port}/healthz"
        )  # represents a page of the foreign host, because it has no policy
        await page.until("document.readyState === 'complete' && document.body.innerText.includes('ok')")
        chat = f"http://localhost:{server.port}/v1/chat/completions"
        for url, kind in (("/v1/chat/completions", "basic"), (chat, "cors")):
            answer = await ask(url, method="POST", body=CHAT)
            assert answer.startswith(f"{kind} 403 ")
            assert "CODEX_OPENAI_PROXY_API_KEY" in answer
        assert await ask(chat, method="POST", body=CHAT, mode="no-cors") == "opaque 0 "
        for path in ("/usage", "/usage%0A", "/metrics%0A", "/doctor%0A", "/v1/usage%0A/"):
            assert (await ask(path)).startswith("basic 403 ")
        for path in ("/doctor", "/doctor%0A", "/usage"):
            for name in ("localhost", "127.0.0.1", "[::ffff:127.0.0.1]"):
                assert await ask(f"http://{name}:{server.port}{path}", mode="no-cors") == "unreadable"
    assert upstream.requests == []
    async with http_client() as client:
        counts = (await client.get(f"{server.url}/metrics")).text
    assert 'route="/doctor"' not in counts
    assert 'route="/usage"' not in counts


async def test_under_a_name_that_is_not_this_machine_s_the_page_says_why_it_shows_nothing(
    tmp_path: Path, server: Server
) -> None:
    async with browser_page(tmp_path / "profile", LEAD_HERE) as page:
        await page.open(f"http://{FOREIGN}:{server.port}/")
        await page.until("document.querySelector('#state')?.textContent === 'refused'")
        assert "only under a name such as localhost" in await page.text("#account")
        assert await page.evaluate("document.querySelector('#shown').hidden")


async def test_each_file_has_its_policy_and_there_are_no_others(home: Path) -> None:
    del home
    async with served(api_key=KEY) as server, http_client(base_url=server.url) as client:
        for path in ("/", *(f"/page/{name}" for name in MEDIA)):
            response = await client.get(path)
            assert response.status_code == 200
            assert "default-src 'none'" in response.headers["content-security-policy"]
            assert "://" not in response.text.replace("http://www.w3.org/2000/svg", "")
        for path in ("/page/page.py", "/page/..%2fpage.py", "/page/%2e%2e/page.py", "/page/"):
            assert (await client.get(path)).status_code in {401, 404}
