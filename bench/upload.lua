-- What wrk sends in the part "uploads" of bench/serve.py: a mebibyte.
wrk.method = "POST"
wrk.body = string.rep("x", 1024 * 1024)
wrk.headers["Content-Type"] = "application/octet-stream"
