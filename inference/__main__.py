"""`python -m troupe.inference`."""

from troupe.core.extras import start

if __name__ == "__main__":
    start("troupe.inference.process", extra="inference")
