"""Makes findings of passages: asks a model, and keeps what the passages say."""
