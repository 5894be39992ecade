"""How settings are declared and read, and those that several commands share."""
