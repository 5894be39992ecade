"""A new generation of an index: its members, their cells, and how it is written."""
