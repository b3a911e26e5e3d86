"""The log: every line that any process prints, whole and attributed."""
