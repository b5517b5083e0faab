from __future__ import annotations

import resource
import sys

import pytest

from bridge.descriptors import allow_descriptors, most_connections


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
    limits = [resource.RLIM_INFINITY if limit is None else limit for limit in (before, most, after)]
    now = {resource.RLIMIT_NOFILE: (limits[0], limits[1])}
    monkeypatch.setattr(resource, "getrlimit", now.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", now.__setitem__)

    allow_descriptors()

    assert now == {resource.RLIMIT_NOFILE: (limits[2], limits[1])}


@pytest.mark.parametrize(("descriptors", "connections"), [(256, 128), (10_240, 5120), (None, sys.maxsize)])
def test_every_other_descriptor_is_for_a_connection(
    descriptors: int | None, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {resource.RLIMIT_NOFILE: (resource.RLIM_INFINITY if descriptors is None else descriptors, 1_048_576)}
    monkeypatch.setattr(resource, "getrlimit", now.__getitem__)

    assert most_connections() == connections
