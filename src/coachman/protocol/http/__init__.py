"""HTTP/1.1 as a server has to read it (RFC 9110, RFC 9112): bytes in, values or a refusal out."""
