"""Bytes, lines, messages, typed calls and events of the app-server protocol."""
