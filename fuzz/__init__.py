"""Fuzzing: ``make fuzz SECONDS=60``. The same targets run for a moment in the tests, with hypothesis."""
