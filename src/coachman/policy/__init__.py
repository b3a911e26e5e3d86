"""The decisions, as pure code: a snapshot in, what to do out."""
