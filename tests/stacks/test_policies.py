"""The policies as data: to the letter where the procedure gives them, and within AWS's limits."""

import json
from pathlib import Path

import pytest

from stacks.policies import (
    INLINE_POLICY_LIMIT,
    PROFILES,
    PolicyTooLong,
    area_policy,
    boundary_policy,
    compact,
    session_token_denial,
    tls_only_policy,
)

GOLDEN = Path(__file__).with_name("data") / "sp-050-003.json"
LONGEST_SLUG = "x" * 50
LONGEST_BUCKET = "b" * 63


def actions_of(policy: dict[str, object]) -> set[str]:
    statements = policy["Statement"]
    assert isinstance(statements, list)
    return {action for statement in statements for action in statement["Action"]}


def test_the_procedures_profile_is_its_own_text() -> None:
    """SP-23, SP-24: the profile sp-050-003 equals, as JSON, what the procedure prints."""
    policy = area_policy(
        "sp-050-003", bucket="legit-health-clients", slug="ABC-LLC", region="eu-west-1"
    )
    assert policy == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("profile", PROFILES)
def test_the_longest_names_fit_into_an_inline_policy(profile: str) -> None:
    """SP-25: AWS allows 2,048 characters for all inline policies of a user."""
    policy = area_policy(profile, bucket=LONGEST_BUCKET, slug=LONGEST_SLUG, region="eusc-de-east-1")
    assert len("".join(compact(policy).split())) <= INLINE_POLICY_LIMIT


def test_a_policy_that_aws_would_not_take_is_refused() -> None:
    with pytest.raises(PolicyTooLong, match="hardened"):
        area_policy("hardened", bucket="b" * 63, slug="x" * 1000, region="eu-west-1")


@pytest.mark.parametrize("profile", PROFILES)
def test_no_profile_deletes_or_goes_beyond_the_boundary(profile: str) -> None:
    """PB-17: nothing that deletes; the boundary permits whatever a profile does."""
    actions = actions_of(area_policy(profile, bucket="b", slug="ABC-LLC", region="eu-west-1"))
    assert not {action for action in actions if "Delete" in action}
    assert actions <= actions_of(boundary_policy("b", "eu-west-1"))


def test_profiles_read_or_write_as_they_say() -> None:
    """PB-17: read-only does not write, write-only does not read."""
    read = actions_of(area_policy("read-only", bucket="b", slug="A", region="eu-west-1"))
    write = actions_of(area_policy("write-only", bucket="b", slug="A", region="eu-west-1"))
    assert not {action for action in read if action.startswith("s3:Put")}
    assert not {action for action in write if action.startswith("s3:Get")}


def test_the_hardened_profile_grants_an_acl_to_the_owner_only() -> None:
    """SP-24: tools send this one ACL; no other may be set."""
    policy = area_policy("hardened", bucket="b", slug="A", region="eu-west-1")
    [statement] = [s for s in policy["Statement"] if "s3:PutObjectAcl" in s["Action"]]
    assert statement["Action"] == ["s3:PutObjectAcl"]
    assert statement["Condition"] == {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}


def test_foundation_policies_refuse_plain_http_and_session_tokens() -> None:
    """RX-02, RX-22."""
    [deny] = tls_only_policy("b", "eu-west-1")["Statement"]
    assert (deny["Effect"], deny["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )
    [tokens] = session_token_denial()["Statement"]
    assert (tokens["Effect"], tokens["Condition"]) == (
        "Deny",
        {"Null": {"aws:TokenIssueTime": "false"}},
    )


def test_the_european_sovereign_cloud_has_its_own_partition() -> None:
    """SP-03."""
    policy = tls_only_policy("b", "eusc-de-east-1")
    assert policy["Statement"][0]["Resource"][0] == "arn:aws-eusc:s3:::b"
