"""The one error of the lab: a sentence for a person, saying what to do."""


class LabError(Exception):
    """Something a person has to know; the command line prints it without a traceback."""
