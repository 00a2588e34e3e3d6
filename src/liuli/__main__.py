"""`python -m liuli` is the command `liuli`."""

from liuli.cli.app import main

if __name__ == "__main__":
    main()
