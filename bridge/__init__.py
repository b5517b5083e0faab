"""An OpenAI-compatible HTTP server in front of `codex app-server`."""

from importlib.metadata import version

__version__ = version("codex-openai-proxy")
