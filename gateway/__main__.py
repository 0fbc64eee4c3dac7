"""`python -m troupe.gateway`."""

from troupe.core.extras import start

if __name__ == "__main__":
    start("troupe.gateway.process", extra="gateway")
