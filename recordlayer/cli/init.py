"""`recordlayer init`: makes a project file, and the lock file of a schema that is there."""

from __future__ import annotations

import json
from pathlib import Path

import click

from recordlayer.cli import project as projects
from recordlayer.cli.screen import Screen
from recordlayer.cli.source import wanted
from recordlayer.errors import InvalidProject
from recordlayer.migrate.lockfile import to_text


@click.command()
@click.option("--proto", metavar="FILE", help="A .proto file with annotations.")
@click.option("--builder", metavar="MODULE:NAME", help="Where Python code builds the metadata.")
@click.option("--descriptor-set", metavar="FILE", help="What protoc --descriptor_set_out wrote.")
@click.option("--url", default="file:records.rl", show_default=True, help="The first database.")
@click.option("--path", default="app/store", show_default=True, help="The path of its store, with slashes.")
@click.pass_obj
def init(
    screen: Screen, proto: str | None, builder: str | None, descriptor_set: str | None, url: str, path: str
) -> None:
    """Make a project file and its lock file here."""
    given = {"proto": proto, "builder": builder, "descriptor_set": descriptor_set}
    source = {kind: named for kind, named in given.items() if named is not None}
    if len(source) != 1:
        raise click.UsageError("give one of --proto, --builder and --descriptor-set")
    file = Path(screen.project_file)
    if file.exists():
        raise InvalidProject(file=str(file), hint="there is one already: change it with an editor")
    names = [name for name in path.split("/") if name]
    if not names:
        raise click.UsageError("give --path, such as shop/acme")
    kind, named = next(iter(source.items()))
    text = (
        f"[schema]\n{kind} = {json.dumps(named)}\n"
        'lock = "schema.lock"\n\n'
        f"[databases.local]\nurl = {json.dumps(url)}\n"
        f"metadata = {json.dumps([names[0], 'metadata'])}\n"
        f"store = {json.dumps(names)}\n"
    )
    file.write_text(text, encoding="utf-8")
    try:
        made = projects.load(str(file))
        metadata = wanted(made)
    except BaseException:
        file.unlink()  # a project that cannot be loaded is none
        raise
    made.lock.write_text(to_text(metadata), encoding="utf-8")
    screen.say(f"wrote {file} and {made.lock.name}: version {metadata.version}")
    screen.say(f"  types    {', '.join(metadata.record_types)}")
    screen.say(f"  indexes  {', '.join(metadata.indexes) or 'none'}")
    screen.say("next: commit both, and `recordlayer migrate plan`")
