"""Looks at the cloud and makes one immutable `World` of what it sees.

Forbidden here: deciding anything, writing anything, importing `execute` or `expose`.
"""
