"""Puts the parts together and keeps them going: composition root, tick, loop, intake of requests.

Forbidden here: knowing Glance's or the journal's details, drawing tables.
"""
