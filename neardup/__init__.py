"""Decide, for each image, whether one like it was seen before.

The shared core of the batch job (`bootstrap`) and the service (`consumer`): decode, describe, search, commit.
It knows neither Kafka nor command lines, so that both describe an image in the same way.
"""

from importlib.metadata import version

__version__ = version("neardup")
