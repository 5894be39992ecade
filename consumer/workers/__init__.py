"""Several workers of the service under one parent: started, replaced, ended together, and seen as one."""
