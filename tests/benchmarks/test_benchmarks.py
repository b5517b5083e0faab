"""The benchmarks run, and they judge and write their figures correctly."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.benchmarks.figures import Row
from tests.benchmarks.goals import EMPTY, verdicts
from tests.benchmarks.report import goal_table, goal_text, table, text

START = Row("start", "Start until it listens", "s", {"proxy": [0.5, 0.4, 0.6], EMPTY: [0.4, 0.4, 0.41]})
BURST = Row("burst", "A burst", "deltas/s", {"bare client": [20_000.0], "official SDK": [5_000.0], "proxy": [19_000.0]})


def test_a_row_has_the_median_and_the_quartiles_of_its_rounds():
    assert START.median("proxy") == 0.5
    assert START.spread("proxy") == (0.45, 0.55)
    assert text(START).endswith("proxy 0.5 (0.45…0.55)  an empty application under Hypercorn 0.4 (0.4…0.405)")


def test_a_figure_measured_once_has_no_spread():
    assert BURST.spread("proxy") is None
    assert table([BURST]).splitlines()[-1] == "| A burst | deltas/s | 20,000 | 5,000 |  | 19,000 |  |"


def test_a_goal_is_a_ratio_of_medians_and_reached_within_its_bound():
    judged = {goal.says: (value, goal.reached(value)) for goal, value in verdicts([START, BURST])}
    assert judged == {
        "Burst: of the bare client's rate": (0.95, False),
        "Burst: of the SDK's rate": (pytest.approx(3.8), True),
        "Start until it listens: of an empty application's time": (1.25, True),
    }


def test_goals_are_written_with_their_bound_and_the_verdict():
    missed, reached, _ = verdicts([START, BURST])
    assert goal_text(missed) == "MISSED   Burst: of the bare client's rate: 0.95 times (at least 1 times)"
    assert goal_table([missed, reached]).splitlines()[2:] == [
        "| Burst: of the bare client's rate | at least 1 times | 0.95 | **missed** |",
        "| Burst: of the SDK's rate | at least 3 times | 3.8 | reached |",
    ]


@pytest.mark.long
def test_a_scenario_runs_with_real_codex_and_all_subjects():
    command = [sys.executable, "-m", "tests.benchmarks", "agent", "--rounds", "1"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    http, websocket = run.stdout.splitlines()
    assert http.startswith("Ten steps of an agent, sent upstream (http)")
    assert websocket.startswith("Ten steps of an agent, sent upstream (websocket)")
