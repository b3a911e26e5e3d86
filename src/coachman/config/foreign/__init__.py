"""The configuration of other servers, as ours: what is equivalent, and what has no equivalent."""
