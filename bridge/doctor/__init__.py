"""Checks everything between the user's Codex and a client; reports what is wrong and how to fix it."""
