"""What `import neardup` offers: the functions behind the service and the batch job, under a few names."""
