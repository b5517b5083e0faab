"""Starts codex: its home, catalogue, command line and models, and the live backend."""
