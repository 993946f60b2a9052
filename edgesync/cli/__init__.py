"""The `edgesync` command: arguments in, tables and exit codes out.

Data goes to stdout, progress and logs to stderr. Forbidden here: decisions about images; whatever a command needs to
know comes from the daemon's API, from `edgesync.daemon`, or, about the journal itself, from `edgesync.journal`.
"""
