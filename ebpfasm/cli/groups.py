"""Groups of commands that say which command was meant."""

from __future__ import annotations

import click


class Group(click.Group):
    """A group that names the nearest command for one that it has not, or else all of them."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words begin with. Raises UsageError where there is none."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from ebpfasm.asm.spelling import did_you_mean

            commands = self.list_commands(ctx)
            hint = did_you_mean(name, commands) or f"there are {', '.join(commands)}"
            raise click.UsageError(f"there is no command {name!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)
