"""`python -m troupe.agents`."""

from troupe.core.extras import start

if __name__ == "__main__":
    start("troupe.agents.process", extra="agents")
