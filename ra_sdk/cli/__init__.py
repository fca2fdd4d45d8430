"""The `ra` command."""
