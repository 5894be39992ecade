"""From encoded bytes to upright RGB pixels, within limits on size, time and memory."""
