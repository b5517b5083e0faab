"""Lets `python -m bridge` run the program `codex-openai-proxy`."""

from bridge.cli import main

main()
