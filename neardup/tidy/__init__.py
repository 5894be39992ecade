"""Tidying up a folder by its verdicts: groups, what is kept of each, the plan, acting on it, and undoing that."""
