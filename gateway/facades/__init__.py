"""Tasks without gRPC: plain HTTP, Server-Sent Events and WebSockets over the same backend streams."""
