"""Shows what is known: one set of pure views, and the HTTP API and metrics made from them.

Forbidden here: changing anything (requests are handed to the daemon's intake), importing `observe` or `execute`.
"""
