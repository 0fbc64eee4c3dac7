"""The page that the gateway serves."""
