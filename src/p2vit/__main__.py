"""``python -m p2vit``."""

from p2vit.cli.main import main

main()
