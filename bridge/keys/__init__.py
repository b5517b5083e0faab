"""Keys by name: what each may do, the file that has them, and their use in a running server."""
