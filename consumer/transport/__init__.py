"""Where messages come from and go to: Kafka, or this process's memory."""
