"""The orchestrator's gRPC door."""
