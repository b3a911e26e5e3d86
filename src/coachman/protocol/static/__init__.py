"""Static files without I/O: what a request for one asks for, and what it is answered."""
