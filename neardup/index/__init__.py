"""Indexes: where members live and verdicts are decided."""
