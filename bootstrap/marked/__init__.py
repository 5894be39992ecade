"""Pairs that a person marked as same or different: read, and counted by an index or by a run."""
