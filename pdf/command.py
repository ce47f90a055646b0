"""The commands of a record (SP-27): what a client's engineer copies, line by line.

Each is one line, with double quotes only, so that bash, PowerShell and cmd take it as it stands;
each names its profile, so that no default profile is touched or used; paths end in `/`, since
without it `aws s3` would make one object of that name. No secret is ever part of a command line.
"""

from typing import NamedTuple

from pdf.record import RecordInput

LOCAL_FOLDER = "images/"
DOWNLOAD_FOLDER = "download/"


class Command(NamedTuple):
    """One command: the step it belongs to, its line, and whether it installs a program."""

    step: str
    line: str
    installs: bool = False


def commands(record: RecordInput) -> tuple[Command, ...]:
    """Return the commands that this record's profile needs, in the order of its steps."""
    return (
        *_configure(record),
        *_check(record),
        *_upload(record),
        *_fetch(record),
        *_python(record),
        *_rclone(record),
    )


def commands_text(record: RecordInput) -> bytes:
    """Return all commands as a text file: UTF-8, one a line, each as it is printed."""
    return "".join(f"{command.line}\n" for command in commands(record)).encode()


def _configure(record: RecordInput) -> list[Command]:
    lines = [f'aws configure --profile "{record.profile_name}"']
    if record.endpoint_url is not None:
        # A local AWS: the profile itself points there, so that a trial never talks to real AWS. Its
        # certificate is named by each command instead, since rclone stumbles over one in a profile.
        setting = f'endpoint_url "{record.endpoint_url}"'
        lines.append(f'aws configure set {setting} --profile "{record.profile_name}"')
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


def _python(record: RecordInput) -> list[Command]:
    """Return the SDK's way; inside the double quotes Python needs single ones only."""
    found = [Command("python", "python -m pip install boto3", installs=True)]
    session = f"boto3.Session(profile_name='{record.profile_name}')"
    trust = f", verify=r'{record.ca_bundle}'" if record.ca_bundle else ""
    bucket = f"{session}.resource('s3'{trust}).Bucket('{record.bucket}')"
    if record.profile.may_upload:
        files = f"pathlib.Path('{LOCAL_FOLDER}').rglob('*')"
        send = f"b.upload_file(f, '{record.prefix}' + f.as_posix())"
        script = f"import boto3, pathlib; b = {bucket}; [{send} for f in {files} if f.is_file()]"
        found.append(Command("python", f'python -c "{script}"'))
    objects = f"{bucket}.objects.filter(Prefix='{record.prefix}')"
    script = f"import boto3; [print(o.size, o.key) for o in {objects}]"
    found.append(Command("python", f'python -c "{script}"'))
    return found


def _rclone(record: RecordInput) -> list[Command]:
    """Return rclone's way: a remote that reads the key from the AWS profile, then its use.

    The header for the bucket's owner is the one access setting that the policies permit. Without
    the right to read, rclone can neither look at an object after the upload nor compare more than
    its size.
    """
    name = record.profile_name
    settings = {
        "provider": "AWS" if record.endpoint_url is None else "Other",
        "env_auth": "true",
        "profile": name,
        "region": record.region,
    }
    if record.profile.may_upload:
        settings |= {"acl": "bucket-owner-full-control", "no_check_bucket": "true"}
    if record.endpoint_url is not None:
        settings["endpoint"] = record.endpoint_url
    if not record.profile.may_download:
        settings["no_head"] = "true"
    given = " ".join(f"{key}={value}" for key, value in settings.items())
    lines = [f'rclone config create "{name}" s3 {given}', *_rclone_copies(record)]
    return [Command("rclone", line) for line in lines]


def _rclone_copies(record: RecordInput) -> list[str]:
    compare = "--checksum" if record.profile.may_download else "--size-only"
    trust = f' --ca-cert "{record.ca_bundle}"' if record.ca_bundle else ""
    area = f"{record.profile_name}:{record.bucket}/{record.prefix}"
    uploads = f"{record.profile_name}:{record.bucket}/{record.upload_path}"
    lines = []
    if record.profile.may_upload:
        proof = "" if record.profile.may_download else " --size-only"
        lines.append(f'rclone copy "{LOCAL_FOLDER}" "{uploads}" {compare}{trust}')
        lines.append(f'rclone check "{LOCAL_FOLDER}" "{uploads}" --one-way{proof}{trust}')
    if record.profile.may_download:
        lines.append(f'rclone copy "{area}" "{DOWNLOAD_FOLDER}" {compare}{trust}')
    return lines


def _profile(record: RecordInput) -> str:
    trust = f'--ca-bundle "{record.ca_bundle}" ' if record.ca_bundle else ""
    return f'{trust}--profile "{record.profile_name}"'
