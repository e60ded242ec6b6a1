"""`yolox-deploy migrate`: an Exp file of the authors' YOLOX as settings and commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import echo, print_json
from yolox_deploy.errors import UsageError

SETTINGS_NAME = "settings.toml"


def migrate_command(
    exp: Annotated[Path, typer.Argument(metavar="EXP.py", help="Exp file of YOLOX; read, never run.")],
    out: Annotated[Path | None, typer.Option(help="TOML file to write [default: it is printed].")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Turn an Exp file of Megvii's YOLOX into settings and commands."""
    from yolox_deploy.files import check_place, check_writable, write_text
    from yolox_deploy.migrate.text import commands, to_toml
    from yolox_deploy.migrate.translate import migrate

    if out is not None:
        if out.suffix.lower() == ".py":
            raise UsageError(f"--out {out}: expected the name of a TOML file, such as {SETTINGS_NAME}")
        check_place(out, "--out")
    migration = migrate(exp)
    toml = to_toml(migration)
    if out is not None:
        check_writable(out, f"--out {out}")
        write_text(out, toml)
    next_steps = commands(migration, str(out or SETTINGS_NAME))
    leftovers = [item.told(exp) for item in migration.leftovers]
    if as_json:
        steps = {"commands": next_steps, "not_carried_over": leftovers}
        print_json({"settings": migration.settings, **steps, "file": out and str(out)})
        return
    echo(f"{toml}\n# save the above as {SETTINGS_NAME}" if out is None else f"# the settings are in {out}")
    for what, lines in next_steps.items():
        echo("\n".join(["", f"# {what}", *lines]))
    if leftovers:
        echo("\n".join(["", "# cannot be carried over", *(f"# - {line}" for line in leftovers)]))
