"""`python -m troupe.orchestrator`."""

from troupe.core.extras import start

if __name__ == "__main__":
    start("troupe.orchestrator.process", extra="orchestrator")
