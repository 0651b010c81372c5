"""What runs inside a kernel, and what opens one."""
