"""The look-up service: the same judging over HTTP."""
