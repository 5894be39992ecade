"""What settings are about: the groups of help and of docs/settings.md, in their order."""

FILES = "Files"
TOPICS = "Topics"
KAFKA = "Kafka"
REDIS = "Redis and the index"
DUPLICATES = "Duplicates"
DECODING = "Decoding"
CLAIM_CHECKS = "Claim checks"
RUNNING = "Running"
OTHERS = "Others"
SUBJECTS = (FILES, TOPICS, KAFKA, REDIS, DUPLICATES, DECODING, CLAIM_CHECKS, RUNNING, OTHERS)
