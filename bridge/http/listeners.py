"""Listening sockets: which addresses a server takes, and how many connections it accepts.

A connection beyond the bound is closed when it is accepted. At the end of a server, connections that do not end by
themselves are shut down.
"""

from __future__ import annotations

import errno
import logging
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakSet

if sys.platform != "win32":
    import resource

logger = logging.getLogger(__name__)

MOST_DESCRIPTORS = 10_240
"""More than a server of one Codex needs, and the most that macOS gives a process."""

NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""What a machine without IPv6 answers to a program that wants to listen there."""


def allow_descriptors() -> None:
    """Raise the soft limit of file descriptors: some systems start a process with 256."""
    if sys.platform != "win32":
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_DESCRIPTORS if most == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, most)
        if now != resource.RLIM_INFINITY and now < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def most_connections() -> int:
    """Return how many connections may be open: the other half of the descriptors is for Codex, the store and the log.

    Without a free descriptor neither Codex nor a file could be opened.
    """
    if sys.platform == "win32":
        return sys.maxsize
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else most // 2


class Connections:
    """The connections of a server, at most `most` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._accepted: WeakSet[socket.socket] = WeakSet()
        self._warned = False

    def admit(self, connection: socket.socket) -> bool:
        """Count a connection that was accepted; close it and return False if there are too many."""
        if len(self._accepted) >= self._most and sum(1 for _ in self._open()) >= self._most:
            connection.close()
            if not self._warned:
                self._warned = True
                logger.warning("%d connections are open, new ones are closed; `ulimit -n` allows more", self._most)
            return False
        self._accepted.add(connection)
        return True

    def shut_down(self) -> None:
        """End every connection that is still open, whatever was not sent yet."""
        for connection in tuple(self._open()):
            with suppress(OSError):  # the client has closed it already
                connection.shutdown(socket.SHUT_RDWR)

    def _open(self) -> Iterator[socket.socket]:
        return (connection for connection in self._accepted if connection.fileno() != -1)


class Listener(socket.socket):
    """A listening TCP socket that counts what it accepts."""

    connections: Connections

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept the next connection for which there is room.

        Raises:
            BlockingIOError: there is none now.
        """
        while True:
            connection, address = super().accept()
            if self.connections.admit(connection):
                return connection, address


class Listeners:
    """The sockets of one server; use it as a context manager to close them."""

    def __init__(self, sockets: Sequence[Listener], connections: Connections) -> None:
        self.sockets = sockets
        self.connections = connections

    @property
    def port(self) -> int:
        return self.sockets[0].getsockname()[1]

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            one.close()


def listen(host: str, port: int) -> Listeners:
    """Listen before anything else starts: a port in use is noticed first, and early clients wait.

    `host` is an address or a name with one or several; an empty one stands for all addresses, IPv4 and IPv6. IPv6 is
    left out where the machine has none. All sockets have the same port, also when `port` is 0.

    Raises:
        OSError: an address cannot be bound, or the name is unknown.
    """
    connections = Connections(most_connections())
    sockets: list[Listener] = []
    missing: OSError | None = None
    try:
        for family, address in _addresses(host):
            try:
                sockets.append(_bound(family, address, sockets[0].getsockname()[1] if sockets else port, both=not host))
            except OSError as error:
                if family != socket.AF_INET6 or error.errno not in NO_SUCH_FAMILY:
                    raise
                missing = error
        if missing is not None and not sockets:
            raise missing
    except OSError:
        for one in sockets:
            one.close()
        raise
    for one in sockets:
        one.connections = connections
    return Listeners(sockets, connections)


def _addresses(host: str) -> Sequence[tuple[socket.AddressFamily, str]]:
    if not host:
        return [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]  # noqa: S104 - that is what was asked for
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))


def _bound(family: socket.AddressFamily, address: str, port: int, *, both: bool) -> Listener:
    # asyncio switches Nagle's algorithm off only for a socket that says that it is TCP.
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and both:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # or it would take the IPv4 port as well
        listener.bind((address, port))
        listener.listen()
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
