"""Images a second, CPU an image and latency of the whole service, of this build and of the one before, in turn."""
