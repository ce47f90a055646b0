"""Policy documents compared by what they mean to AWS."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.policies import equivalent

BASE = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "List",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": "arn:aws:s3:::b",
            "Condition": {"StringLike": {"s3:prefix": ["ABC-LLC/*"]}},
        },
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Principal": {"AWS": "*"}},
    ],
}


def changed(**statement: object) -> str:
    first, second = BASE["Statement"]
    assert isinstance(first, dict)
    return json.dumps({**BASE, "Statement": [second, {**first, **statement}]})


@pytest.mark.parametrize(
    "statement",
    [
        {},
        {"Action": "s3:ListBucket"},
        {"Action": "S3:LISTBUCKET"},
        {"Resource": ["arn:aws:s3:::b"]},
        {"Condition": {"StringLike": {"S3:Prefix": "ABC-LLC/*"}}},
    ],
)
def test_ways_to_write_the_same(statement: dict[str, object]) -> None:
    assert equivalent(json.dumps(BASE, indent=2), changed(**statement))


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Deny"},
        {"Action": ["s3:ListBucket", "s3:GetObject"]},
        {"Resource": "arn:aws:s3:::B"},
        {"Condition": {"StringLike": {"s3:prefix": ["abc-llc/*"]}}},
        {"Condition": {"StringEquals": {"s3:prefix": ["ABC-LLC/*"]}}},
        {"Condition": {}},
        {"NotPrincipal": {"AWS": "*"}},
    ],
)
def test_what_differs_is_seen(statement: dict[str, object]) -> None:
    assert not equivalent(json.dumps(BASE), changed(**statement))


def test_what_is_no_document_equals_only_itself() -> None:
    assert equivalent("", "")
    assert equivalent(None, None)
    assert not equivalent("not json", json.dumps(BASE))
    assert not equivalent(None, json.dumps(BASE))


@given(
    st.permutations(["s3:GetObject", "s3:PutObject", "s3:ListBucket"]),
    st.permutations(["arn:aws:s3:::a", "arn:aws:s3:::b"]),
)
def test_order_means_nothing(actions: list[str], resources: list[str]) -> None:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    ordered = {**statement, "Action": sorted(actions), "Resource": sorted(resources)}
    assert equivalent(json.dumps({"Statement": statement}), json.dumps({"Statement": [ordered]}))
