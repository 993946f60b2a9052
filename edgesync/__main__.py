"""`python -m edgesync` is the same program as the `edgesync` console script."""

from edgesync.cli.main import main

if __name__ == "__main__":
    main()
