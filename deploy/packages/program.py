"""The program as PyInstaller packs it for Windows."""

from bridge.cli import main

main()
