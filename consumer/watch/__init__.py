"""The live view: verdicts as they come, on a terminal, as lines, or as a web page."""
