"""What is left to do once the supervisor was killed, and the process that does it."""
