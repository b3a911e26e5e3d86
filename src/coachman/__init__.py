"""Coachman starts applications, keeps them running and carries their requests."""
