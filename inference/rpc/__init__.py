"""InferenceService over gRPC."""
