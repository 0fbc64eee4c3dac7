"""What Troupe's services share, its Python SDK and its command line."""
