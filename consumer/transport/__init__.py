"""Where messages come from and go to: Kafka or memory."""
