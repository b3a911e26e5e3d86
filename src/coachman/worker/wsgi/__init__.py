"""The WSGI engine: an epoll loop that parses with httptools and calls the application."""
