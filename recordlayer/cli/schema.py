"""`recordlayer schema`: what the schema is, what is different since it was locked, and what to think about."""

from __future__ import annotations

import click

from recordlayer.cli import project as projects
from recordlayer.cli.screen import Screen, json_option, yes_option
from recordlayer.cli.source import wanted
from recordlayer.errors import InvalidProject
from recordlayer.metadata import Evolution, RecordMetaData
from recordlayer.migrate.changes import SchemaDiff, Verdict, schema_diff
from recordlayer.migrate.lint import lint as findings_of
from recordlayer.migrate.lockfile import to_text
from recordlayer.migrate.wording import field_words, key_words


def allow_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--allow RULE`."""
    named = click.option("--allow", multiple=True, metavar="RULE", help="Relax a rule, such as field-renames.")
    return named(command)


@click.group()
def schema() -> None:
    """The schema of this project, and its lock file."""


@schema.command()
@json_option
@click.pass_obj
def show(screen: Screen, as_json: bool) -> None:
    """Print record types and indexes."""
    metadata = wanted(projects.load(screen.project_file))
    if as_json:
        screen.json(_as_json(metadata))
        return
    for known in metadata.record_types.values():
        screen.say(f"{known.name}  primary key {key_words(known.primary_key)}")
        numbers = sorted(known.descriptor.fields_by_number)
        fields = [known.descriptor.fields_by_number[number] for number in numbers]
        screen.table(("", "NUMBER", "FIELD", "TYPE"), [("", one.number, one.name, field_words(one)) for one in fields])
        screen.say()
    rows = [
        (index.name, index.type + (" unique" if index.unique else ""), ", ".join(index.record_types), key_words(index))
        for index in metadata.indexes.values()
    ]
    if rows:
        screen.table(("INDEX", "TYPE", "OVER", "KEY"), rows)


def _as_json(metadata: RecordMetaData) -> dict[str, object]:
    types = {
        known.name: {
            "primary_key": key_words(known.primary_key),
            "fields": {one.name: {"number": one.number, "type": field_words(one)} for one in known.descriptor.fields},
        }
        for known in metadata.record_types.values()
    }
    indexes = {
        index.name: {
            "type": index.type,
            "types": list(index.record_types),
            "key": key_words(index),
            "options": dict(index.options),
        }
        for index in metadata.indexes.values()
    }
    return {"record_types": types, "indexes": indexes}


@schema.command()
@allow_option
@json_option
@click.pass_obj
def diff(screen: Screen, allow: tuple[str, ...], as_json: bool) -> None:
    """Compare the schema with the lock file. Status 1 if a change is refused."""
    project = projects.load(screen.project_file)
    found = _difference(project, project.allowing(allow))
    if as_json:
        screen.json(found.as_json())
    elif found.is_empty:
        screen.say("the schema is as it was locked")
    else:
        print_changes(screen, found)
    screen.status = 1 if found.refused else 0


def _difference(project: projects.Project, allow: Evolution) -> SchemaDiff:
    return schema_diff(project.locked(), wanted(project), allow=allow)


def print_changes(screen: Screen, found: SchemaDiff) -> None:
    """A table of changes, and the reasons of those that are refused."""
    rows = [(change.subject, change.what, change.verdict.value) for change in found.changes]
    screen.table(("CHANGE", "WHAT", "VERDICT"), rows)
    for change in found.changes:
        if change.verdict is Verdict.REFUSED:
            screen.say(f"\n{change.subject} is refused:\n  {change.reason}")
            name = next((name for name, rule in projects.ALLOWABLE.items() if rule == change.allowed_by), None)
            if name is not None:
                screen.say(f"  --allow {name} would let it pass")


@schema.command()
@allow_option
@yes_option
@click.pass_obj
def lock(screen: Screen, allow: tuple[str, ...], yes: bool) -> None:
    """Write the lock file: the schema with numbers, places and versions."""
    project = projects.load(screen.project_file)
    found = _difference(project, project.allowing(allow))
    if found.is_empty:
        screen.say(f"{project.lock.name} is up to date")
        return
    print_changes(screen, found)
    if found.refused or found.target is None:
        screen.say(f"\n{project.lock.name} was not written")
        screen.status = 1
        return
    screen.confirm(f"Write {project.lock.name}?", yes=yes)
    project.lock.write_text(to_text(found.target), encoding="utf-8")
    screen.say(f"\nwrote {project.lock.name}: version {found.target.version}")


@schema.command("lint")
@json_option
@click.pass_obj
def lint_command(screen: Screen, as_json: bool) -> None:
    """Look for what rules cannot know. Status 1 if there is something."""
    found = findings_of(wanted(projects.load(screen.project_file)))
    if as_json:
        screen.json({"findings": [finding.as_json() for finding in found]})
    elif found:
        screen.table(("WHERE", "WHAT", "ADVICE"), [(one.subject, one.rule, one.advice) for one in found])
    else:
        screen.say("nothing to say")
    screen.status = 1 if found else 0


def locked(project: projects.Project) -> RecordMetaData:
    """What migrations go by.  Raises  InvalidProject if nothing is locked."""
    metadata = project.locked()
    if metadata is None:
        raise InvalidProject(lock=str(project.lock), hint="there is no lock file: run `recordlayer schema lock`")
    return metadata
