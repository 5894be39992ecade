"""The groups of settings in help and in docs/settings.md, in order."""

FILES = "Files"
TOPICS = "Topics"
KAFKA = "Kafka"
REDIS = "Redis and the index"
DUPLICATES = "Duplicates"
DECODING = "Decoding"
CLAIM_CHECKS = "Claim checks"
SERVING = "Serving"
RUNNING = "Running"
OTHERS = "Others"
SUBJECTS = (FILES, TOPICS, KAFKA, REDIS, DUPLICATES, DECODING, CLAIM_CHECKS, SERVING, RUNNING, OTHERS)
