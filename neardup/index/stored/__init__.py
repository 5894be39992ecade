"""What an index is in Redis: names of keys, bytes of records, the log of events, and the scripts that change them."""
