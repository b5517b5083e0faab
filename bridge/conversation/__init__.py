"""Turns requests into items on Codex threads, and the events of these threads into answers."""
