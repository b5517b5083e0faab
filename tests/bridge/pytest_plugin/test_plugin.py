from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.record_fixtures import FIXTURES

pytest_plugins = ["pytester"]

OPTIONS = ("-p", "no:cacheprovider", "-p", "no:langsmith_plugin")
"""The plugin of langsmith, which langchain-openai brings, takes longer to import than the test to run."""


def test_another_project_gets_the_base_url_of_a_server_for_each_folder(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        textwrap.dedent(f"""
        import threading
        from openai import OpenAI

        def say(base_url, text):
            with OpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
                answer = client.chat.completions.create(
                    model="gpt-5.2-codex", messages=[{{"role": "user", "content": text}}]
                )
            return answer.choices[0].message.content

        def test_the_application(codex_openai_proxy):
            one, other = codex_openai_proxy({str(FIXTURES / "plain-text")!r}), codex_openai_proxy({str(FIXTURES)!r})
            assert one != other
            assert one.startswith("http://127.0.0.1:") and one.endswith("/v1")
            assert say(one, "Say hi.") == "Hi! I am a recording. What can I do for you?"
            assert say(other, "Say hi.") == say(one, "Say hi.")

        def test_nothing_is_left_of_the_servers():
            for thread in threading.enumerate():
                if thread is not threading.main_thread():
                    thread.join(20)  # anyio tells its worker threads to end, and does not wait for it
            assert threading.active_count() == 1
        """)
    )
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    result = pytester.runpytest_subprocess(*OPTIONS)
    result.assert_outcomes(passed=2)


def test_a_folder_without_recordings_is_named(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(f"def test_the_application(codex_openai_proxy): codex_openai_proxy({str(tmp_path)!r})")
    result = pytester.runpytest_subprocess(*OPTIONS)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*CaseError: * holds no recorded case*"])
