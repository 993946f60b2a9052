"""The rbd engine: blocks go from the hub's snapshot to the sites, without Glance, and are registered with it.

`source` reads, `spread` hands each chunk to the `lane` of every site, `throttle` slows a lane down.
"""
