"""What processes of one machine know of a generation, in memory that they share."""
