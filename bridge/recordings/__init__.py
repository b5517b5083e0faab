"""Recorded conversations: cases, redaction, recording and replaying."""
