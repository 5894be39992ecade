"""kafka-python as every part of the project uses it: clients, their errors, and what is mended in it.

Besides `consumer.transport` only this package imports kafka, and the rest of the core does not import this package.
"""
