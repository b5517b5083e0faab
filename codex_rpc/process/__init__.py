"""Find, start, read, write and end a codex child."""
