"""What a consumer does of the whole: describes images, decides about described ones, or both."""
