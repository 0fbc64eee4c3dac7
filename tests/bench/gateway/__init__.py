"""Troupe's gateway beside Envoy's grpc_web filter."""
