"""Where images on this machine come from: files, folders and video clips."""
