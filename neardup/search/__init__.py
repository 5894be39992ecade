"""Exact search: distances, sketches that exclude what is too far, cells, k-means, duplicates among many rows."""
