"""The command line."""

from normscope.cli.app import app, main

__all__ = ["app", "main"]
