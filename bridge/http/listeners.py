"""Listening sockets: the addresses of a server, and how many connections it accepts.

Connections beyond the limit are closed as soon as they are accepted. When the server stops, connections that do not
end by themselves are shut down.
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
"""More than a server with one Codex needs, and the most that macOS allows a process."""

NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""Error numbers of a bind to an IPv6 address on a machine without IPv6."""


def allow_descriptors() -> None:
    """Raise the soft limit of file descriptors; some systems start processes with 256."""
    if sys.platform != "win32":
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_DESCRIPTORS if most == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, most)
        if now != resource.RLIM_INFINITY and now < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def most_connections() -> int:
    """Return how many connections may be open: half of the file descriptors.

    The other half is for Codex, the store and the log, which could not be opened without a free descriptor.
    """
    if sys.platform == "win32":
        return sys.maxsize
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else most // 2


class Connections:
    """The open connections of a server, at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._accepted: WeakSet[socket.socket] = WeakSet()
        self._warned = False

    def admit(self, connection: socket.socket) -> bool:
        """Count an accepted connection and return True; close it and return False if there are too many."""
        if len(self._accepted) >= self._most and sum(1 for _ in self._open()) >= self._most:
            connection.close()
            if not self._warned:
                self._warned = True
                logger.warning(
                    "%d connections are open; closing new ones. Raise the limit with `ulimit -n`", self._most
                )
            return False
        self._accepted.add(connection)
        return True

    def shut_down(self) -> None:
        """Shut down every open connection; unsent data is lost."""
        for connection in tuple(self._open()):
            with suppress(OSError):  # the client has closed it already
                connection.shutdown(socket.SHUT_RDWR)

    def _open(self) -> Iterator[socket.socket]:
        return (connection for connection in self._accepted if connection.fileno() != -1)


class Listener(socket.socket):
    """A listening TCP socket that counts the connections that it accepts."""

    connections: Connections

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept the next connection within the limit.

        Raises:
            BlockingIOError: no connection is waiting.
        """
        while True:
            connection, address = super().accept()
            if self.connections.admit(connection):
                return connection, address


class Listeners:
    """The listening sockets of one server; as a context manager it closes them."""

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
    """Open the listening sockets. Call it first: a port in use is then noticed at once, and early clients wait.

    `host` is an address, or a name with one or more addresses; empty means all addresses, IPv4 and IPv6. IPv6 is
    skipped on machines without it. All sockets get the same port, even if `port` is 0.

    Raises:
        OSError: an address cannot be bound, or the name cannot be resolved.
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
        return [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]  # noqa: S104 - requested by the caller
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))


def _bound(family: socket.AddressFamily, address: str, port: int, *, both: bool) -> Listener:
    # asyncio disables Nagle's algorithm only for sockets whose protocol is given as TCP.
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and both:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # or it would also take the IPv4 port
        listener.bind((address, port))
        listener.listen()
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
