from __future__ import annotations

from bridge.conversation.events import Finished, ReasoningDelta, TextDelta, ToolCall, TurnEvent, Used
from bridge.telemetry.ledger import BOUNDS, ENTRY, RECENT, Durations, Ledger, RequestLogEntry, entry_of
from codex_rpc.wire.events import TokenUsage

USAGE = TokenUsage(10, 4, 5, 2)


def answered(
    ledger: Ledger, *, model: str | None = "gpt", status: int = 200, date: str = "2030-01-01"
) -> RequestLogEntry:
    """Add a request that started at 100 and ended at 107."""
    entry = RequestLogEntry(id="req", method="POST", path="/x", moment=100, model=model, status=status)
    ledger.open(entry)
    entry.record([TextDelta("a", 3), Used(USAGE), Finished("stop")], 102)
    ledger.close(entry, "/x", 107, date)
    return entry


def test_an_entry_sums_up_the_events_of_its_answer() -> None:
    entry = RequestLogEntry(moment=10)
    entry.record([Used(USAGE)], 11)
    assert entry.first_token is None
    entry.record([TextDelta("a", 2), TextDelta("b")], 12.5)
    entry.record([TextDelta("c"), Used(USAGE), Finished("stop")], 14)
    assert (entry.first_token, entry.deltas, entry.usage) == (2.5, 4, USAGE + USAGE)


def test_any_first_output_of_the_model_counts_as_its_first_token() -> None:
    said: list[TurnEvent] = [ReasoningDelta("hm"), ToolCall("c", "look", "{}"), TextDelta("a")]
    for event in said:
        entry = RequestLogEntry(moment=1)
        entry.record([event], 3)
        assert entry.first_token == 2


def test_a_scope_has_one_entry() -> None:
    entry = RequestLogEntry()
    assert entry_of({ENTRY: entry}) is entry
    scope: dict[str, object] = {}
    assert entry_of(scope) is entry_of(scope)


def test_an_answer_runs_until_it_is_closed_and_is_then_kept_as_recent() -> None:
    ledger = Ledger("2030-01-01")
    entry = RequestLogEntry(moment=1, model="gpt")
    ledger.open(entry)
    assert ledger.running == [entry]
    ledger.close(entry, "/x", 3, "2030-01-01")
    assert ledger.running == []
    assert list(ledger.recent) == [entry]
    assert entry.seconds == 2


def test_a_request_without_a_model_is_counted_but_not_kept_as_recent() -> None:
    ledger = Ledger("2030-01-01")
    other = RequestLogEntry(method="GET")
    ledger.open(other)
    assert ledger.running == []
    ledger.close(other, "/models", 3, "2030-01-01")
    assert (list(ledger.recent), ledger.today.requests) == ([], 0)
    assert ledger.requests == {("GET", "/models", "gone"): 1}


def test_the_number_of_recent_answers_is_bounded() -> None:
    ledger = Ledger()
    entries = [answered(ledger) for _ in range(RECENT + 3)]
    assert list(ledger.recent) == entries[3:]


def test_a_new_day_starts_at_zero_while_the_counters_continue() -> None:
    ledger = Ledger("2030-01-01")
    answered(ledger)
    failed = RequestLogEntry(model="gpt", error="upstream_error", status=502)
    ledger.open(failed)
    ledger.close(failed, "/x", 3, "2030-01-01")
    assert (ledger.today.requests, ledger.today.failed, ledger.today.usage) == (2, 1, USAGE)
    answered(ledger, date="2030-01-02")
    assert (ledger.today.date, ledger.today.requests, ledger.today.failed) == ("2030-01-02", 1, 0)
    assert ledger.requests == {("POST", "/x", "200"): 2, ("", "/x", "502"): 1}
    assert ledger.errors == {"upstream_error": 1}
    assert (ledger.usage, ledger.deltas) == ({None: USAGE + USAGE}, 6)
    assert (sum(ledger.first_token.counts), ledger.first_token.total) == (2, 4)
    assert (sum(ledger.seconds.counts), ledger.seconds.total) == (3, 17)


def test_durations_are_counted_between_the_bounds() -> None:
    durations = Durations()
    for seconds in (0.01, 0.05, 0.06, 1, 5000):
        durations.add(seconds)
    assert durations.counts == [2, 1, 0, 0, 1, *[0] * 7, 1]
    assert len(durations.counts) == len(BOUNDS) + 1
    assert durations.total == 5001.12
