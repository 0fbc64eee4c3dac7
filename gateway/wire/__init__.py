"""The bytes of every protocol that the gateway speaks, as functions and state machines without I/O.

`http1` and `http2` cut byte streams into messages and frames, `framing` and `text` are gRPC-Web's bodies, the modules
that begin with `connect` are the Connect protocol,
`metadata` carries headers from one protocol to the other, `cors` decides who may call.
"""
