"""Looking at a live index, checking it and repairing it."""
