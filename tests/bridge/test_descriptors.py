from __future__ import annotations

import pytest

from bridge.descriptors import allow_descriptors


@pytest.mark.parametrize(
    ("before", "most", "after"),
    [
        (256, 4096, 4096),
        (256, None, 10_240),
        (1024, 1_048_576, 10_240),
        (65_536, 1_048_576, 65_536),
        (None, None, None),
    ],
)
def test_a_server_asks_for_the_descriptors_that_it_may_have(
    before: int | None, most: int | None, after: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    limits = [resource.RLIM_INFINITY if limit is None else limit for limit in (before, most, after)]
    now = {resource.RLIMIT_NOFILE: (limits[0], limits[1])}
    monkeypatch.setattr(resource, "getrlimit", now.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", now.__setitem__)

    allow_descriptors()

    assert now == {resource.RLIMIT_NOFILE: (limits[2], limits[1])}
