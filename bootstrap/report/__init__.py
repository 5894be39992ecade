"""What a bootstrap tells people: pictures and a summary."""
