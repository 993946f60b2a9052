"""Talking to the outside: Keystone, Glance, Ceph.

The only package that may import aiohttp's client, keystoneauth, openstacksdk, rados and rbd. What comes out is records
of `edgesync.domain` and errors of `edgesync.errors`, never a library's own. Every call has a deadline.

Forbidden here: decisions. A client repeats what is safe to repeat and says what happened; whether to try again later,
to wait or to give up is for its caller. Also forbidden: tokens and passwords in messages and logs.
"""
