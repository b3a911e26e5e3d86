"""AbstractServer: a server in a child process with exactly one client."""
