"""Training of the descriptor ``copynet``: everything that its weights came from."""
