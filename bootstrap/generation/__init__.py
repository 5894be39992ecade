"""A new generation of an index: who its members are, where they stand, and how it is written."""
