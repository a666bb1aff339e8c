"""``python -m sinoner`` and the ``sinoner`` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from sinoner.cli import main as run

    run()


if __name__ == "__main__":
    main()
