"""Where images on this machine come from: files, folders, video clips and archives."""
