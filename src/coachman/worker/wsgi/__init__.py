"""The WSGI engine: an epoll loop that reads requests and calls the application."""
