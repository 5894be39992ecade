"""A bootstrap's report: pictures and a summary."""
