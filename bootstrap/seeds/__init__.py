"""A seed set from files to numbers: described, compared, clustered."""
