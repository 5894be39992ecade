"""The feed: what is published, from where, how fast, and what is remembered of it."""
