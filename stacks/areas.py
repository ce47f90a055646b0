"""The areas as the service sees them: open, close, preview, drift, readiness.

Blocking calls, safe from many threads. Open, close and rollback share one teardown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from engine.provider import ProviderError
from stacks.access import AreaAccess, KeyOff, Remaining, error_code, prove_key, told
from stacks.automation import Stacks
from stacks.client import AreaInputs, ClientProgram
from stacks.clients import clients_for
from stacks.events import Drift, OnProgress, PlannedChange, ignore_progress
from stacks.failures import Failure, StackError
from stacks.foundation import GROUP_POLICY
from stacks.recovery import Recovered, recover


@dataclass(frozen=True)
class IssuedKey:
    """One key of an area as AWS gave it out."""

    generation: int
    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class OpenedArea:
    """What `Areas.open` made: keys, and the outputs that are no secret."""

    keys: tuple[IssuedKey, ...]
    outputs: Mapping[str, Any]
    recovered: Recovered


@dataclass(frozen=True)
class AreasReadiness:
    """Whether areas can be opened here; ``problems`` says what to do about each red item."""

    engine: str
    engine_version: str
    region: str
    identity_arn: str | None
    account: str | None
    foundation: bool
    problems: tuple[str, ...]


class Areas:
    """Opens and closes areas; one object for the whole process."""

    def __init__(self, stacks: Stacks, *, bucket: str, region: str, group: str) -> None:
        self.stacks = stacks
        self.bucket = bucket
        self.region = region
        self.group = group
        self.environment = stacks.backend.environment
        self.access = AreaAccess(self.environment)
        self._account: str | None = None

    def account(self) -> str:
        """Return the AWS account's 12 digits; raises `StackError` when AWS does not tell."""
        if self._account is None:
            problems: list[str] = []
            _, self._account = self._identity(problems)
            if self._account is None:
                raise StackError(self.bucket, Failure("AwsUnreachable", " ".join(problems)))
        return self._account

    def open(self, area: AreaInputs, on_progress: OnProgress = ignore_progress) -> OpenedArea:
        """Make AWS what the area says: recovery first, then ``up``. Raises `StackError`."""
        with told(area.slug):
            recovered = recover(self.stacks, self.access, area)
        outputs = self.stacks.up(ClientProgram(area), on_progress)
        ids: Mapping[str, str] = outputs.plain["access_key_ids"]
        secrets: Mapping[str, str] = outputs.secrets["access_key_secrets"]
        keys = tuple(
            IssuedKey(key.generation, ids[str(key.generation)], secrets[str(key.generation)])
            for key in area.keys
        )
        return OpenedArea(keys, outputs.plain, recovered)

    def prove(
        self, area: AreaInputs, access_key_id: str, secret_access_key: str, *, timeout: float = 60.0
    ) -> None:
        """Wait until a new key works, at most ``timeout`` seconds; raises `KeyNotProven`."""
        with told(area.slug):
            prove_key(self.environment, area, access_key_id, secret_access_key, timeout=timeout)

    def key_off(self, area: AreaInputs, known_key_ids: Sequence[str] = ()) -> KeyOff:
        """Make every key of the area inactive by direct calls; raises `StackError`."""
        return self.access.key_off(area, known_key_ids)

    def close(self, area: AreaInputs, on_progress: OnProgress = ignore_progress) -> Recovered:
        """Take the area away: what is half-made or added by hand first, then all of it.

        The client's objects stay. Closing what is gone already is success. The caller switches
        the keys off before, by `key_off`.
        """
        with told(area.slug):
            recovered = recover(self.stacks, self.access, area, closing=True)
            if recovered.user_is_ours:
                self.access.strip_user(area)
        self.stacks.destroy(ClientProgram(area), on_progress)
        return recovered

    def remaining(self, area: AreaInputs) -> Remaining:
        """Count what still lies under the area's prefix."""
        return self.access.remaining(area)

    def preview_open(self, area: AreaInputs) -> list[PlannedChange]:
        """Return what opening would do, resource by resource."""
        return self.stacks.preview(ClientProgram(area))

    def preview_close(self, area: AreaInputs) -> list[PlannedChange]:
        """Return what closing would do, resource by resource."""
        return self.stacks.preview_destroy(ClientProgram(area))

    def drift(self, area: AreaInputs) -> list[Drift]:
        """Return where AWS differs from what the stack says."""
        return self.stacks.drift(ClientProgram(area))

    def user_count(self) -> int:
        """Return how many IAM users the account holds."""
        return self.access.user_count()

    def readiness(self) -> AreasReadiness:
        """Look at identity and foundation; never raises for what it reports."""
        problems: list[str] = []
        arn, account = self._identity(problems)
        foundation = arn is not None and self._foundation(problems)
        return AreasReadiness(
            engine=self.stacks.engine,
            engine_version=self.stacks.engine_version(),
            region=self.region,
            identity_arn=arn,
            account=account,
            foundation=foundation,
            problems=tuple(problems),
        )

    def _identity(self, problems: list[str]) -> tuple[str | None, str | None]:
        try:
            identity: Any = clients_for(self.environment).sts.get_caller_identity()
        except ClientError as error:
            problems.append(f"AWS refuses the service's credentials: {error_code(error)}.")
        except BotoCoreError as error:
            problems.append(f"AWS can't be reached: {error}.")
        except ProviderError as error:
            problems.append(f"{error}.")
        else:
            return str(identity["Arn"]), str(identity["Account"])
        return None, None

    def _foundation(self, problems: list[str]) -> bool:
        clients = clients_for(self.environment)
        try:
            clients.s3().head_bucket(Bucket=self.bucket)
            clients.iam.get_group_policy(GroupName=self.group, PolicyName=GROUP_POLICY)
        except ClientError as error:
            problems.append(
                f"The foundation is not there ({error_code(error)} for bucket {self.bucket} or "
                f"the policy of group {self.group}). Run `handover foundation up`."
            )
        except BotoCoreError as error:
            problems.append(f"AWS can't be reached: {error}.")
        else:
            return True
        return False
