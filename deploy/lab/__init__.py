"""A real cloud with edge sites on one machine: Ceph per site, Keystone, Glance, and the faults of the field.

Tests and the demo prove edgesync against this, because a fake Ceph hangs, fills up and comes back only as its author
imagined. Everything runs as plain processes, with all its files in `.lab/NAME`: no containers. Central is on 127.0.0.1,
each edge in a network namespace behind a link of its own. Nothing here is imported by edgesync.
"""
