"""The shipped recordings give the recorded answers, however the session's bytes are split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from bridge.cli.check import Mismatch, check_case
from bridge.recordings.case_folders import load_cases
from bridge.recordings.cases import Case
from codex_rpc.process.child import Sink
from codex_rpc.process.process import ByteStream
from tests.record_fixtures import FIXTURES, RECIPES

CASES = load_cases(FIXTURES)


class CutStream:
    """Wraps a stream and splits what it reads into pieces."""

    def __init__(self, stream: ByteStream, cut: Callable[[bytes], list[bytes]]) -> None:
        self._stream = stream
        self._cut = cut

    async def read(self, sink: Sink) -> None:
        def cut_and_pass_on(data: bytes) -> None:
            for piece in self._cut(data):
                sink(piece)

        await self._stream.read(cut_and_pass_on)

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    def last_words(self) -> str:
        return self._stream.last_words()


def whole(data: bytes) -> list[bytes]:
    return [data]


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def single_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_every_recipe_has_a_recording_and_every_recording_a_recipe() -> None:
    assert {case.name for case in CASES} == set(RECIPES)


@pytest.mark.parametrize("cut", [whole, lines, single_bytes])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_recording_gives_the_recorded_answers(case: Case, cut: Callable[[bytes], list[bytes]]) -> None:
    assert await check_case(case, lambda stream: CutStream(stream, cut)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_recording_with_one_other_byte_does_not_pass(case: Case) -> None:
    *others, last = case.exchanges
    at = len(last.answer) // 2
    changed = bytearray(last.answer)
    changed[at] ^= 1
    broken = replace(case, exchanges=(*others, replace(last, answer=bytes(changed))))
    [mismatch] = await check_case(broken)
    assert mismatch.file == f"{case.name}/{case.answer_file(len(case.exchanges))}"
    assert mismatch.reason.startswith(f"differs at byte {at}: ")


async def test_another_status_does_not_pass() -> None:
    [case] = [case for case in CASES if case.name == "quota-error"]
    broken = replace(case, exchanges=(replace(case.exchanges[0], status=200),))
    [mismatch] = await check_case(broken)
    assert isinstance(mismatch, Mismatch)
    assert mismatch.reason.startswith("status 429 instead of 200: ")


def test_no_fixture_reveals_where_it_was_recorded() -> None:
    home = str(Path.home())
    for path in FIXTURES.rglob("*"):
        if path.is_file():
            content = path.read_text()
            assert "/tmp" not in content, path
            assert home not in content or home == "/", path
