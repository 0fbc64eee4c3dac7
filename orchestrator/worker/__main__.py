"""`python -m troupe.orchestrator.worker`."""

from troupe.core.extras import start

if __name__ == "__main__":
    start("troupe.orchestrator.worker.process", extra="orchestrator")
