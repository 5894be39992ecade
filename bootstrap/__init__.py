"""The batch job: a seed set in, an index out."""
