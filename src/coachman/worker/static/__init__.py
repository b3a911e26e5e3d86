"""Static files: found below their folders and answered without the application."""
