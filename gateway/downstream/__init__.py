"""The clients' side: a protocol of the web in, exchanges out."""
