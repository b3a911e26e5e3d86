#!/usr/bin/env python3
"""A wrapper in Python: coachman spawn -- examples/wrappers/wrapper.py"""

import http.server
import os
import sys
import threading


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"hello from {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print("!> I have control 1.0", flush=True)
if sys.stdin.readline() != "You have control 1.0\n":
    sys.exit("this program is started by coachman spawn")
request = dict(line.rstrip("\n").split(": ", 1) for line in iter(sys.stdin.readline, "\n"))

try:
    port = int(request.get("port", 0))  # 0: the system chooses
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Hello)
except Exception as error:
    print(f"!> Error\n!> \nthe server could not be started: {error!r}", flush=True)
    sys.exit(1)

threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"!> Ready\n!> socket: main;tcp://127.0.0.1:{server.server_port};http;0\n!> ", flush=True)
sys.stdin.read()  # ends when we are to quit
server.shutdown()
