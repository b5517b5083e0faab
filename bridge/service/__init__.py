"""The server as a service of the user's system: systemd, launchd, or the Windows task scheduler."""
