"""Reads the settings of a server from command line, environment and TOML file."""
