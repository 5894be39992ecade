"""How well near-duplicates are told from other images: ``python -m benchmarks.quality``."""
