"""What `import neardup` offers: the functions that the service and the batch job are built on, in few names."""
