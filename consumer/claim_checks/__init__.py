"""Claim checks: reading an image from the URI in its envelope, if the operator allows it.

Start at `reader`. `schemes` lists what can be read; each scheme is one object in its own file.
"""
