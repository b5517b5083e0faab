"""Sessions written down, tidied, followed step by step, and played."""
