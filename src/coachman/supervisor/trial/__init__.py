"""`coachman check`: a start for trial, and its report."""
