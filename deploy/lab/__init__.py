"""A real cloud with edge sites on one machine: Ceph per site, Keystone, Glance, and the faults of the field.

Tests and the demo prove edgesync against this, because a fake Ceph hangs, fills up and comes back only as its author
imagined. Everything runs as plain processes on 127.0.0.1, with all its files in `.lab/NAME`: no containers, no network
namespaces. Nothing here is imported by edgesync.
"""
