"""The AWS types that the stacks use, on boto3: names, ids and defaults are those of pulumi_aws 7.

One module a family of types; `registry` lists them, `provider` dispatches to them.
"""

from engine.aws.provider import AwsProvider, aws_provider

__all__ = ["AwsProvider", "aws_provider"]
