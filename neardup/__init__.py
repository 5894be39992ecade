"""Decide, for each image, whether one like it was seen before.

The shared core of the batch job (`bootstrap`) and the service (`consumer`): decode, describe, search, commit.
Both take the one path from bytes to a vector, so that both describe an image in the same way. What both need of Kafka
is in `neardup.kafka`, and the rest knows nothing of it.
"""

from importlib.metadata import version

__version__ = version("neardup")
