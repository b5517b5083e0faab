"""Speaks the JSON-RPC dialect of `codex app-server` over stdio; knows nothing of OpenAI's HTTP API."""
