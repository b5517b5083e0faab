"""The pytest plugin and the server that it runs to replay recordings."""
