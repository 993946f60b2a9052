"""The group of all commands, of which some are loaded only when somebody asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class Commands(click.Group):
    """`late`: a command -> the module that has it, under its own name; its import takes long, and most do without."""

    def __init__(self, *arguments: Any, late: Mapping[str, str], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._late = late

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._late})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._late and cmd_name not in self.commands:
            self.add_command(getattr(import_module(self._late[cmd_name]), cmd_name))
        return super().get_command(ctx, cmd_name)

    def all(self) -> dict[str, click.Command]:
        """Every command by its name."""
        context = click.Context(self)
        found = {name: self.get_command(context, name) for name in self.list_commands(context)}
        return {name: command for name, command in found.items() if command is not None}
