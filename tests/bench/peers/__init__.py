"""What people would use instead, each with the same chain of three durable no-op steps, for a comparison in turns."""

from tests.bench.peers.known import known_peers
from tests.bench.peers.peer import Peer, UnavailableError

__all__ = ["Peer", "UnavailableError", "known_peers"]
