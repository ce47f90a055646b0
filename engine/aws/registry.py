"""The resource types that the provider knows."""

from engine.aws.iam_access_key import AccessKey
from engine.aws.iam_group import Group
from engine.aws.iam_inline_policy import GroupPolicy, UserPolicy
from engine.aws.iam_policy import Policy
from engine.aws.iam_user import User
from engine.aws.iam_user_group_membership import UserGroupMembership
from engine.aws.resource import Resource
from engine.aws.s3_bucket import Bucket
from engine.aws.s3_bucket_lifecycle import BucketLifecycleConfiguration
from engine.aws.s3_bucket_logging import BucketLogging
from engine.aws.s3_bucket_policy import BucketPolicy
from engine.aws.s3_bucket_protection import (
    BucketOwnershipControls,
    BucketPublicAccessBlock,
    BucketServerSideEncryptionConfiguration,
    BucketVersioning,
)
from engine.aws.s3_object import BucketObject, BucketObjectv2

TYPES: tuple[type[Resource], ...] = (
    User,
    UserGroupMembership,
    UserPolicy,
    AccessKey,
    Group,
    GroupPolicy,
    Policy,
    BucketObjectv2,
    BucketObject,
    Bucket,
    BucketVersioning,
    BucketServerSideEncryptionConfiguration,
    BucketPublicAccessBlock,
    BucketOwnershipControls,
    BucketPolicy,
    BucketLogging,
    BucketLifecycleConfiguration,
)
