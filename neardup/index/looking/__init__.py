"""Looks into a live index without changing it."""
