"""edgesync keeps OpenStack images where edge sites need them.

One way data flows: config -> observe -> plan -> execute -> record -> expose. Each package's docstring says what
belongs in it and what is forbidden; the layers are checked by import-linter (pyproject.toml).
"""

__version__ = "0.1.0"
