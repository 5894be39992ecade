"""Claim checks: reading an image from where its envelope says, if the operator allows it.

`reader` is the way in. `schemes` is the table of what can be read, each scheme one object made in a file of its own.
"""
