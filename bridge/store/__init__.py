"""Stores responses in SQLite or Redis, and reads their chains."""
