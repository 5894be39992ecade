"""How the index's work on an image grows with consumers, and with members."""
