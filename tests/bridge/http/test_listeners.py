from __future__ import annotations

import errno
import resource
import socket
import sys

import pytest

from bridge.http.listeners import Connections, Listener, Listeners, allow_descriptors, listen, most_connections
from tests.harness.program import needs_ipv6


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
def test_a_server_raises_its_limit_of_descriptors_as_far_as_allowed(
    before: int | None, most: int | None, after: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [resource.RLIM_INFINITY if limit is None else limit for limit in (before, most, after)]
    now = {resource.RLIMIT_NOFILE: (limits[0], limits[1])}
    monkeypatch.setattr(resource, "getrlimit", now.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", now.__setitem__)

    allow_descriptors()

    assert now == {resource.RLIMIT_NOFILE: (limits[2], limits[1])}


@pytest.mark.parametrize(("descriptors", "connections"), [(256, 128), (10_240, 5120), (None, sys.maxsize)])
def test_half_of_the_descriptors_are_for_connections(
    descriptors: int | None, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {resource.RLIMIT_NOFILE: (resource.RLIM_INFINITY if descriptors is None else descriptors, 1_048_576)}
    monkeypatch.setattr(resource, "getrlimit", now.__getitem__)

    assert most_connections() == connections


def accept_from(listeners: Listeners, address: tuple[str, int]) -> str | None:
    """Connect to an address; return the peer of the accepted connection, None if no listener has one."""
    with socket.create_connection(address):
        for one in listeners.sockets:
            try:
                connection, peer = one.accept()
            except BlockingIOError:
                continue
            connection.close()
            return peer[0]
    return None


@needs_ipv6
def test_without_a_host_every_address_of_both_families_has_the_same_port() -> None:
    with listen("", 0) as listeners:
        port = listeners.port
        assert accept_from(listeners, ("127.0.0.1", port)) == "127.0.0.1"
        assert accept_from(listeners, ("::1", port)) == "::1"
        with pytest.raises(OSError, match="in use"):
            listen("", port)
    with listen("", port) as again:
        assert again.port == port


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "target", "peer"),
    [("::1", "::1", "::1"), ("::", "127.0.0.1", "::ffff:127.0.0.1"), ("localhost", "127.0.0.1", "127.0.0.1")],
)
def test_an_address_or_a_name_may_be_of_either_family(host: str, target: str, peer: str) -> None:
    with listen(host, 0) as listeners:
        assert accept_from(listeners, (target, listeners.port)) == peer


@pytest.mark.parametrize("error", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_without_ipv6_the_server_listens_on_ipv4_alone(
    error: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bind = Listener.bind

    def refuse_ipv6(listener: Listener, address: tuple[str, int]) -> None:
        if listener.family == socket.AF_INET6:
            raise OSError(error, "no IPv6 here")
        bind(listener, address)

    monkeypatch.setattr(Listener, "bind", refuse_ipv6)
    with listen("", 0) as listeners:
        assert [one.family for one in listeners.sockets] == [socket.AF_INET]
    assert caplog.messages == []
    with pytest.raises(OSError, match="no IPv6 here"):
        listen("::1", 0)


def test_a_port_in_use_on_one_family_is_refused() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        listen("", taken.port)


def test_connections_count_until_they_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    connections = Connections(2)
    sockets = [socket.socket() for _ in range(4)]
    assert [connections.admit(one) for one in sockets[:3]] == [True, True, False]
    assert sockets[2].fileno() == -1
    sockets[0].close()
    assert connections.admit(sockets[3])
    for one in sockets:
        one.close()
    assert caplog.messages == ["2 connections are open; closing new ones. Raise the limit with `ulimit -n`"]
