"""The service: images from Kafka in, verdicts out."""
