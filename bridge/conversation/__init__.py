"""What a request becomes on a Codex thread, and what the thread's events become."""
