"""`python -m troupe.cli` is `troupe`."""

from troupe.cli.main import main

main()
