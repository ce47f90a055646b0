"""Tags between Pulumi's maps and AWS's lists."""

from collections.abc import Iterable, Mapping
from typing import Any


def to_aws(tags: Mapping[str, str] | None) -> Any:
    """A map of tags as AWS's list of keys and values."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def from_aws(tags: Iterable[Mapping[str, Any]]) -> dict[str, str] | None:
    """AWS's list as a map, without AWS's own tags; None where there is none."""
    found = {tag["Key"]: tag["Value"] for tag in tags if not tag["Key"].startswith("aws:")}
    return found or None


def change(
    old: Mapping[str, str] | None, new: Mapping[str, str] | None
) -> tuple[list[str], dict[str, str]]:
    """The keys to take away and the tags to set, to get from the old map to the new."""
    before, after = old or {}, new or {}
    removed = [key for key in before if key not in after]
    return removed, {key: value for key, value in after.items() if before.get(key) != value}
