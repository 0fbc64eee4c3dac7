"""The bytes of every protocol that the gateway speaks, as functions and state machines without I/O.

`http1` and `http2` cut byte streams into messages and frames, `http2_connection` and its two sides keep the state of
HTTP/2, and `request` is what both versions make of a request. A `dialect` writes a call the way its client speaks:
`grpc_web` with `framing` and `text`, and the modules that begin with `connect`. `metadata` carries headers from one
protocol to the other, `cors` decides who may call.
"""
