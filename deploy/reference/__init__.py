"""The reference of the commands: `python -m deploy.reference` writes the folder `docs`.

`commands.md` and the man page `edgesync.1` say what click knows: help, options, defaults. Exit codes, and variables
that no option names, are data in `words`.
"""
