"""NVIDIA Triton over its gRPC protocol (KServe v2 with Triton's streams)."""
