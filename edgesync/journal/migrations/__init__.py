"""Schema versions, applied in order when a journal is opened. A released one is never edited: add another."""
