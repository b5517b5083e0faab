from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from bridge.errors import ApiError
from bridge.keys import live
from bridge.keys.changes import add_key, revoke_key
from bridge.keys.file import KeysError
from bridge.keys.key import NamedKey
from bridge.keys.live import Keys
from codex_rpc.background import running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def test_without_a_file_no_key_is_required_until_one_is_added(path: Path) -> None:
    keys = Keys(None, path)
    assert (keys.find("sk-anna-x"), keys.required) == (None, False)
    text = add_key(path, "anna")
    found = keys.find(text)
    assert found is not None
    assert (found.name, keys.required) == ("anna", True)


@pytest.mark.parametrize("sent", ["", "sk-", "sk-" + "0" * 64, "anna", "sk-\u00e4"])
def test_other_texts_are_no_key(path: Path, sent: str) -> None:
    add_key(path, "anna")
    assert Keys(None, path).find(sent) is None


async def test_a_revoked_key_is_unknown_at_once_and_its_answers_are_cancelled(path: Path) -> None:
    kept, text = add_key(path, "ben"), add_key(path, "anna")
    keys = Keys(None, path)
    anna, ben = keys.find(text), keys.find(kept)
    assert anna
    assert ben
    with anna.until_revoked() as running, ben.until_revoked() as other:
        revoke_key(path, "anna")
        assert keys.find(text) is None
        assert (running.cancel_called, other.cancel_called) == (True, False)
    with pytest.raises(ApiError) as refused:
        anna.check()
    assert (refused.value.status, refused.value.code) == (401, "key_revoked")
    ben.check()
    with anna.until_revoked() as late:
        assert late.cancel_called


def test_a_key_that_is_replaced_under_its_name_ends_the_old_one(path: Path) -> None:
    old = add_key(path, "anna")
    keys = Keys(None, path)
    found = keys.find(old)
    revoke_key(path, "anna")
    new = add_key(path, "anna")
    assert keys.find(old) is None
    assert found
    assert found.revoked.is_set()
    assert keys.find(new)


def test_changed_limits_hold_for_a_key_that_is_in_use(path: Path) -> None:
    text = add_key(path, "anna", tokens_per_day=10)
    keys = Keys(None, path)
    found = keys.find(text)
    path.write_text(path.read_text().replace("tokens_per_day = 10", "tokens_per_day = 2000"))
    assert keys.find(text) is found
    assert found
    assert found.key.tokens_per_day == 2000
    assert not found.revoked.is_set()


def test_a_key_ends_when_it_expires(path: Path) -> None:
    text = add_key(path, "anna", expires=datetime.fromtimestamp(1000, UTC))
    now = [999.0]
    keys = Keys(None, path, lambda: now[0])
    found = keys.find(text)
    assert found
    now[0] = 1000
    assert keys.find(text) is None
    assert found.revoked.is_set()
    assert Keys(None, path, lambda: 1001).find(text) is None


def test_the_file_is_watched_without_requests(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK", 0.001)
    text = add_key(path, "anna")
    keys = Keys(None, path)
    found = keys.find(text)
    assert found

    async def revoke_while_watched() -> None:
        with anyio.fail_after(5):
            async with running(keys.watch):
                revoke_key(path, "anna")
                await found.revoked.wait()

    anyio.run(revoke_while_watched)


def test_every_key_is_compared_whichever_was_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time must not tell which key comes close."""
    texts = [add_key(path, name) for name in ("anna", "ben", "carl")]
    keys, compared = Keys(None, path), Counter[str]()
    really = NamedKey.matches

    def matches(key: NamedKey, sent: str) -> bool:
        compared[key.name] += 1
        return really(key, sent)

    monkeypatch.setattr(NamedKey, "matches", matches)
    found = [keys.find(text) for text in (*texts, "sk-other")]
    assert [key and key.name for key in found] == ["anna", "ben", "carl", None]
    assert compared == {"anna": 4, "ben": 4, "carl": 4}


def test_a_file_that_breaks_leaves_the_keys_and_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = add_key(path, "anna")
    keys = Keys(None, path)
    path.write_text("[anna")
    with caplog.at_level(logging.ERROR, "bridge.keys.live"):
        assert keys.find(text)
        assert keys.find(text)
    assert len(caplog.messages) == 1
    assert "the keys remain as they were" in caplog.messages[0]
    with pytest.raises(KeysError):
        Keys(None, path)


def test_deleting_the_file_ends_all_keys_and_opens_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = add_key(path, "anna")
    keys = Keys(None, path)
    path.unlink()
    assert keys.find(text) is None
    assert keys.required
    assert "every request still needs a key" in caplog.text
    assert keys.find(add_key(path, "anna"))


def test_the_server_s_own_key_is_the_setting_or_else_the_file_beside(path: Path) -> None:
    own = path.with_name("api-key")
    own.write_text("sk-own\n")
    own.chmod(0o600)
    assert (Keys(None, path).own, Keys("given", path).own) == (None, "given")
    add_key(path, "anna")
    assert (Keys(None, path).own, Keys("given", path).own) == ("sk-own", "given")
    own.chmod(0o644)
    with pytest.raises(KeysError, match="own key"):
        Keys(None, path)
