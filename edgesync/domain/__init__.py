"""What edgesync talks about: stores, images, copies, policies, jobs, actions.

Pure records and enums, and the Protocols that the outer layers implement. Forbidden here: asyncio primitives, clocks,
logging, any I/O.
"""
