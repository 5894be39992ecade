"""How the project uses kafka-python: clients, error translation, and patches.

Only this package and `consumer.transport` import kafka; the rest of the core does not import this package.
"""
