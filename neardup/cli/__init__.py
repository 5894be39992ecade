"""The one command: ``neardup consume|folder|feed|bootstrap|calibrate|index``."""
