"""The areas as the service sees them: open, close, preview, drift, readiness.

Blocking calls, safe from many threads. Open, close and rollback share one teardown.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from engine.aws.clients import Clients
from engine.aws.failures import AWAY, THROTTLED, UNREACHABLE
from engine.provider import ProviderError
from stacks.access import AreaAccess, KeyOff, Remaining, error_code, prove_key, told
from stacks.automation import Stacks
from stacks.backend import StackOutputs
from stacks.client import AreaInputs, ClientProgram
from stacks.clients import clients_for, hurried_clients_for
from stacks.events import Drift, OnProgress, PlannedChange, ignore_progress
from stacks.failures import StackError
from stacks.forgetting import forget_copies, forget_in_state
from stacks.foundation import GROUP_POLICY
from stacks.recovery import (
    Recovered,
    keys_off_in_state,
    known_key_ids,
    recover,
    update_and_recover,
)
from stacks.stopping import ShouldStop
from stacks.suspension import AccessSwitch

_REFUSED = "AWS refuses the service's credentials"
_SLOWER = "AWS asks for fewer calls and tells nothing for the moment."


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
    """Whether areas can be opened here; ``problems`` says what to do about each red item.

    ``throttled``: AWS asked for fewer calls instead of telling, so that nothing is known to be red.
    """

    engine: str
    engine_version: str
    region: str
    identity_arn: str | None
    account: str | None
    foundation: bool
    problems: tuple[str, ...]
    throttled: bool = False


class Areas:
    """Opens and closes areas; one object for the whole process."""

    def __init__(self, stacks: Stacks, *, bucket: str, region: str, group: str) -> None:
        self.stacks = stacks
        self.bucket = bucket
        self.region = region
        self.group = group
        self.environment = stacks.backend.environment
        self.access = AreaAccess(self.environment)
        self.switch = AccessSwitch(self.environment)
        self._account: str | None = None

    def account(self) -> str:
        """Return the AWS account's 12 digits; raises `StackError` when AWS does not tell."""
        if self._account is None:
            with told(self.bucket):
                identity: Any = clients_for(self.environment).sts.get_caller_identity()
            self._account = str(identity["Account"])
        return self._account

    def open(
        self,
        area: AreaInputs,
        on_progress: OnProgress = ignore_progress,
        *,
        should_stop: ShouldStop | None = None,
    ) -> OpenedArea:
        """Make AWS what the area says: recovery first, then ``up``. Raises `StackError`.

        But a key that the stack holds as off stays as it is: it is switched on by `switch` alone,
        when somebody gives access back. ``should_stop`` as for `Stacks.up`.
        """

        def update() -> StackOutputs:
            program = ClientProgram(self._without_switching_on(area))
            return self.stacks.up(program, on_progress, should_stop=should_stop)

        recovered, outputs = update_and_recover(lambda: self._recover(area), update, self.access)
        ids: Mapping[str, str] = outputs.plain["access_key_ids"]
        secrets: Mapping[str, str] = outputs.secrets["access_key_secrets"]
        keys = tuple(
            # A secret that was forgotten on purpose is None in the state.
            IssuedKey(key.generation, ids[str(key.generation)], secrets[str(key.generation)] or "")
            for key in area.keys
        )
        return OpenedArea(keys, outputs.plain, recovered)

    def keys_off(self, area: AreaInputs) -> set[int]:
        """Return the generations of the keys that the area's stack holds as off."""
        with told(area.slug):
            return keys_off_in_state(self.stacks, area)

    def _without_switching_on(self, area: AreaInputs) -> AreaInputs:
        off = self.keys_off(area)
        keys = (replace(key, active=key.active and key.generation not in off) for key in area.keys)
        return replace(area, keys=tuple(keys))

    def _recover(self, area: AreaInputs) -> Recovered:
        with told(area.slug):
            return recover(self.stacks, self.access, area)

    def prove(
        self, area: AreaInputs, access_key_id: str, secret_access_key: str, *, timeout: float = 60.0
    ) -> None:
        """Wait until a new key works, at most ``timeout`` seconds; raises `KeyNotProven`."""
        with told(area.slug):
            prove_key(self.environment, area, access_key_id, secret_access_key, timeout=timeout)

    def key_off(self, area: AreaInputs, known_key_ids: Sequence[str] = ()) -> KeyOff:
        """Make every key of the area inactive by direct calls; raises `StackError`."""
        return self.access.key_off(area, known_key_ids)

    def close(
        self,
        area: AreaInputs,
        on_progress: OnProgress = ignore_progress,
        *,
        should_stop: ShouldStop | None = None,
    ) -> Recovered:
        """Take the area away: what is half-made or added by hand first, then all of it.

        The client's objects stay. Closing what is gone already is success. The caller switches
        the keys off before, by `key_off`. ``should_stop`` as for `Stacks.destroy`.
        """
        with told(area.slug):
            recovered = recover(self.stacks, self.access, area, closing=True)
            if recovered.user_is_ours:
                self.access.strip_user(area)
        self.stacks.destroy(ClientProgram(area), on_progress, should_stop=should_stop)
        return recovered

    def remaining(self, area: AreaInputs) -> Remaining:
        """Count what still lies under the area's prefix."""
        return self.access.remaining(area)

    def key_ids(self, area: AreaInputs) -> set[str]:
        """Return the ids of the keys that the area's stack knows; none without a stack."""
        with told(area.slug):
            return known_key_ids(self.stacks, area)

    def refresh(
        self,
        area: AreaInputs,
        on_progress: OnProgress = ignore_progress,
        *,
        should_stop: ShouldStop | None = None,
    ) -> list[Drift]:
        """Make the area's stack what AWS holds and return what had drifted; AWS is left as it is
        but for what was half-made. ``should_stop`` as for `Stacks.up`. Raises `StackError`.
        """
        self._recover(area)
        return self.stacks.refresh(ClientProgram(area), on_progress, should_stop=should_stop)

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

    def forget_secrets(
        self,
        area: AreaInputs,
        generations: Collection[int],
        *,
        should_stop: ShouldStop | None = None,
    ) -> None:
        """Forget the secrets of these keys in the stack, its backups and its history (PB-13).

        The keys go on working. Safe to run again. ``should_stop`` as for `Stacks.up`. Raises
        `StackError`.
        """
        forget_in_state(self.stacks, area, generations)
        # Writes the stack's outputs anew, without them.
        program = ClientProgram(self._without_switching_on(area))
        self.stacks.up(program, should_stop=should_stop)
        forget_copies(self.stacks, area)

    def answers(self) -> bool:
        """Tell whether STS, IAM and S3 all answer, be it with a refusal; one cheap call each.

        An area needs each of them, and each may be away alone.
        """
        return all(
            self._is_answered(ask)
            for ask in (
                lambda clients: clients.sts.get_caller_identity(),
                lambda clients: clients.iam.get_group_policy(
                    GroupName=self.group, PolicyName=GROUP_POLICY
                ),
                lambda clients: clients.s3().head_bucket(Bucket=self.bucket),
            )
        )

    def _is_answered(self, ask: Callable[[Clients], object]) -> bool:
        try:
            with told(self.bucket):
                ask(hurried_clients_for(self.environment))
        except StackError as error:
            return error.failure.code not in AWAY
        return True

    def readiness(self) -> AreasReadiness:
        """Look at identity and foundation; never raises for what it reports.

        Somebody waits for it, so that an AWS that is away is told within seconds.
        """
        problems: dict[str, str] = {}
        arn, account = self._identity(problems)
        foundation = arn is not None and self._foundation(problems)
        return AreasReadiness(
            engine=self.stacks.engine,
            engine_version=self.stacks.engine_version(),
            region=self.region,
            identity_arn=arn,
            account=account,
            foundation=foundation,
            problems=tuple(problems.values()),
            throttled=any(code in THROTTLED for code in problems),
        )

    def _identity(self, problems: dict[str, str]) -> tuple[str | None, str | None]:
        """Return the ARN and the account, or note the trouble by its code."""
        try:
            identity: Any = hurried_clients_for(self.environment).sts.get_caller_identity()
        except ClientError as error:
            code = error_code(error)
            problems[code] = _SLOWER if code in THROTTLED else f"{_REFUSED}: {code}."
        except BotoCoreError as error:
            problems[UNREACHABLE] = f"AWS can't be reached: {error}."
        except ProviderError as error:
            problems[error.code] = f"{error}."
        else:
            return str(identity["Arn"]), str(identity["Account"])
        return None, None

    def _foundation(self, problems: dict[str, str]) -> bool:
        clients = hurried_clients_for(self.environment)
        try:
            clients.s3().head_bucket(Bucket=self.bucket)
            clients.iam.get_group_policy(GroupName=self.group, PolicyName=GROUP_POLICY)
        except ClientError as error:
            code = error_code(error)
            problems[code] = (
                _SLOWER
                if code in THROTTLED
                else (
                    f"The foundation is not there ({code} for bucket {self.bucket} or "
                    f"the policy of group {self.group}). Run `handover foundation up`."
                )
            )
        except BotoCoreError as error:
            problems[UNREACHABLE] = f"AWS can't be reached: {error}."
        else:
            return True
        return False
