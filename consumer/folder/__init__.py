"""Folder mode: the service's handler and loop on the files of a folder, and tidying it up by their verdicts."""
