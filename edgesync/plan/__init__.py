"""Decides what to do: pure functions from what was seen and what is wanted to a plan, a verdict, a next try.

Forbidden here: I/O, clocks (the time is an argument), logging, asyncio, randomness that isn't passed in.
"""
