"""Carries out a plan's actions: one task per image, each outcome recorded before anybody hears of it.

Forbidden here: deciding what should be done (that is `plan`), importing `observe` or `expose`.
"""
