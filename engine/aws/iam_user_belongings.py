"""What belongs to a user and keeps AWS from deleting it, and taking it away."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from engine.aws.failures import code_of

# AWS answers this where the entity is not there, and the local stand-in to operations it lacks:
# in both cases there is nothing of that kind to take away.
ABSENT = frozenset({"NoSuchEntity", "InvalidAction"})

Removal = Callable[[], Any]
Belonging = Callable[[Any, str], Iterator[Removal]]


def take_away(iam: Any, name: str, kinds: Iterable[Belonging]) -> None:
    """Remove all of these kinds from the user; what is gone already keeps no other one back."""
    for kind in kinds:
        with _absence_is_fine():
            for remove in kind(iam, name):
                with _absence_is_fine():
                    remove()


@contextmanager
def _absence_is_fine() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise


def _listed(iam: Any, operation: str, name: str, member: str) -> list[Any]:
    paginator = iam.get_paginator(operation)
    return [item for page in paginator.paginate(UserName=name) for item in page[member]]


def _keys(iam: Any, name: str) -> Iterator[Removal]:
    for key in _listed(iam, "list_access_keys", name, "AccessKeyMetadata"):
        yield partial(iam.delete_access_key, UserName=name, AccessKeyId=key["AccessKeyId"])


def _login_profile(iam: Any, name: str) -> Iterator[Removal]:
    yield partial(iam.delete_login_profile, UserName=name)


def _groups(iam: Any, name: str) -> Iterator[Removal]:
    for group in _listed(iam, "list_groups_for_user", name, "Groups"):
        yield partial(iam.remove_user_from_group, UserName=name, GroupName=group["GroupName"])


def _inline_policies(iam: Any, name: str) -> Iterator[Removal]:
    for policy in _listed(iam, "list_user_policies", name, "PolicyNames"):
        yield partial(iam.delete_user_policy, UserName=name, PolicyName=policy)


def _attached_policies(iam: Any, name: str) -> Iterator[Removal]:
    for policy in _listed(iam, "list_attached_user_policies", name, "AttachedPolicies"):
        yield partial(iam.detach_user_policy, UserName=name, PolicyArn=policy["PolicyArn"])


def _mfa_devices(iam: Any, name: str) -> Iterator[Removal]:
    for device in _listed(iam, "list_mfa_devices", name, "MFADevices"):
        serial = device["SerialNumber"]
        yield partial(iam.deactivate_mfa_device, UserName=name, SerialNumber=serial)
        if ":mfa/" in serial:
            yield partial(iam.delete_virtual_mfa_device, SerialNumber=serial)


def _ssh_keys(iam: Any, name: str) -> Iterator[Removal]:
    for key in _listed(iam, "list_ssh_public_keys", name, "SSHPublicKeys"):
        key_id = key["SSHPublicKeyId"]
        yield partial(iam.delete_ssh_public_key, UserName=name, SSHPublicKeyId=key_id)


def _certificates(iam: Any, name: str) -> Iterator[Removal]:
    for certificate in _listed(iam, "list_signing_certificates", name, "Certificates"):
        id_ = certificate["CertificateId"]
        yield partial(iam.delete_signing_certificate, UserName=name, CertificateId=id_)


def _service_credentials(iam: Any, name: str) -> Iterator[Removal]:
    listed = iam.list_service_specific_credentials(UserName=name)
    for credential in listed["ServiceSpecificCredentials"]:
        yield partial(
            iam.delete_service_specific_credential,
            UserName=name,
            ServiceSpecificCredentialId=credential["ServiceSpecificCredentialId"],
        )


GROUPS: tuple[Belonging, ...] = (_groups,)
# Keys come first: access ends at once.
USUAL: tuple[Belonging, ...] = (
    _keys,
    _login_profile,
    _groups,
    _inline_policies,
    _attached_policies,
    _mfa_devices,
)
RARE: tuple[Belonging, ...] = (_ssh_keys, _certificates, _service_credentials)
