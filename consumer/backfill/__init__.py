"""Archives to the image topic: listings of images become claim checks, each exactly once."""
