"""What is measured, and how: nothing here is needed to run the service."""
