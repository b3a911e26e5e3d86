"""What runs inside the supervisor process."""
