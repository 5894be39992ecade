"""Verdicts as files that labelling tools and data frames read."""
