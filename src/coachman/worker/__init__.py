"""What runs inside an application process."""
