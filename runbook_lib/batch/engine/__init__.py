"""A notebook run by papermill without sockets: the kernel in our own process."""
