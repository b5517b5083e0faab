"""An OpenAI-compatible HTTP server in front of `codex app-server`."""

__version__ = "0.1.0.dev0"
