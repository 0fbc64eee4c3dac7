"""The browser's door: gRPC-Web in, gRPC out, bytes forwarded as they are."""
