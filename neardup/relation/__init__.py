"""When an image is a duplicate of another, and all that the two are compared by."""
