"""The codex that we start: its home, its catalogue, its command line, its models, the live backend."""
