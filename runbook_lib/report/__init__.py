"""What is read afterwards: the pages, notices and documents made of records."""
