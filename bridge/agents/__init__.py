"""Codex as an agent in a folder of this machine, the opposite of the plain model that chat mode makes of it."""
