"""``python -m p2vit``, and where the command ``p2vit`` starts: Ctrl-C stops it while it is still importing, too."""

import os
import sys


def main() -> None:
    """Entry point."""
    # Pydantic would read the metadata of every installed package in search of plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        from p2vit.cli.main import main as command

        command()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        if "--json" in sys.argv:
            print('{"error": "stopped"}')
        sys.exit(130)


if __name__ == "__main__":
    main()
