"""The commands of a record (SP-27): what a client's engineer copies, line by line.

Each is one line, with double quotes only, so that bash, PowerShell and cmd take it as it stands;
each names its profile, so that no default profile is touched or used; paths end in `/`, since
without it `aws s3` would make one object of that name.
"""

from typing import NamedTuple

from pdf.record import RecordInput

LOCAL_FOLDER = "images/"
DOWNLOAD_FOLDER = "download/"


class Command(NamedTuple):
    """One command: the step it belongs to, and its line."""

    step: str
    line: str


def commands(record: RecordInput) -> tuple[Command, ...]:
    """Return the commands that this record's profile needs, in the order of its steps."""
    return (*_configure(record), *_check(record), *_upload(record), *_fetch(record))


def step_lines(record: RecordInput, step: str) -> tuple[str, ...]:
    """Return the command lines of one step; () where the profile has none."""
    return tuple(command.line for command in commands(record) if command.step == step)


def commands_text(record: RecordInput) -> bytes:
    """Return all commands as a text file: UTF-8, one a line, each as it is printed."""
    return "".join(f"{command.line}\n" for command in commands(record)).encode()


def _configure(record: RecordInput) -> list[Command]:
    lines = [f'aws configure --profile "{record.profile_name}"']
    # A local AWS: the profile itself points there, so that a trial never talks to real AWS.
    for key, value in (("endpoint_url", record.endpoint_url), ("ca_bundle", record.ca_bundle)):
        if value is not None:
            lines.append(f'aws configure set {key} "{value}" --profile "{record.profile_name}"')
    return [Command("configure", line) for line in lines]


def _check(record: RecordInput) -> list[Command]:
    return [Command("check", f"aws sts get-caller-identity {_profile(record)}")]


def _upload(record: RecordInput) -> list[Command]:
    if not record.profile.may_upload:
        return []
    sync = f'aws s3 sync "{LOCAL_FOLDER}" "{record.upload_url}"'
    return [
        Command("upload", f"{sync} {_profile(record)}"),
        Command("prove", f"{sync} --dryrun {_profile(record)}"),
    ]


def _fetch(record: RecordInput) -> list[Command]:
    listing = f'aws s3 ls "{record.area_url}" --recursive {_profile(record)}'
    found = [Command("list", listing)]
    if record.profile.may_download:
        sync = f'aws s3 sync "{record.area_url}" "{DOWNLOAD_FOLDER}"'
        found.append(Command("download", f"{sync} {_profile(record)}"))
    return found


def _profile(record: RecordInput) -> str:
    return f'--profile "{record.profile_name}"'
