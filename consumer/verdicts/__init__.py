"""Verdicts read back, from the verdict topic or from a run in folder mode, and the images that they are on."""
