"""Examines everything between the user's Codex and a client, and names what is wrong with the way to mend it."""
