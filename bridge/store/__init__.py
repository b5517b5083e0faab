"""Responses that are kept: SQLite, Redis, and the chains between them."""
