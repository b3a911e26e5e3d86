"""The control socket: what a person asks of a running supervisor."""
