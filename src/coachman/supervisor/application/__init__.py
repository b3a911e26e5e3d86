"""One application, as the supervisor serves it: where it listens, its generations, its pool of workers."""
