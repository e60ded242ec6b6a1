"""Callbacks that log a run to the services of others, each behind an extra of its own."""
