"""`python -m bridge` is the program `codex-openai-proxy`."""

from bridge.cli import main

main()
