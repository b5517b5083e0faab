"""The pytest plugin, and the server of recordings that it runs."""
