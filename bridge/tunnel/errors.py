"""The error of tunnels."""

from __future__ import annotations


class TunnelError(Exception):
    """The tunnel cannot be set up or run; the message says why and what to do."""
