"""One live connection: calls, inboxes, outgoing lines."""
