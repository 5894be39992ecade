"""A radius chosen by measurement: what light edits need, and what different images allow."""
