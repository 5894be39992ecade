"""When an image is a duplicate of another, and what the two are compared by."""
