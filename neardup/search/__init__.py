"""Exact search: distances, sketches that leave out what is too far, cells, k-means, duplicates among many rows."""
