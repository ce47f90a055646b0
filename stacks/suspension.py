"""Cutting a user's access by direct IAM calls, giving it back, and reading what AWS holds (RX-22).

Nothing here waits for an engine, a stack or its lock. A cut is two things, each enough by itself:
an explicit denial on the user, which reaches keys that are made a moment later too, and every key
inactive, which outlasts a change of policies.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from botocore.exceptions import ClientError

from stacks.access import error_code, is_gone, told
from stacks.clients import hurried_clients_for
from stacks.failures import Failure, StackError
from stacks.user_calls import HeldKey, UserCalls

CONFIRMATION_SECONDS = 10.0
"""How long AWS may take until it tells what it was told: IAM is eventually consistent."""
UNCONFIRMED = "NotConfirmed"
"""Code of a failure because AWS took the calls and does not show their effect yet."""
_APPEARANCE_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_UNKNOWN_KEY = ("AccessDenied", "InvalidClientTokenId", "ValidationError")
"""What AWS answers, besides NoSuchEntity, about a key that is none of this account's."""

Wished = Callable[[], bool]
"""Says whether what is being carried out is still wished."""
Wanted = Callable[[], Collection[str] | None]
"""Says which keys are wished on by now, as ids; None when access is not to be given back."""
_always: Wished = lambda: True  # noqa: E731 - a default, not a function to be called by name


@dataclass(frozen=True)
class Target:
    """Whose access is meant: a client's user, and the keys that our records say exist."""

    client_id: str
    slug: str
    user_name: str
    known_key_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeldAccess:
    """The access of a user as AWS told it last.

    `exists` is False where the user is gone or is a stranger's of the same name: then the client
    has no access. `denied`: the denial is on the user.
    """

    user_name: str
    exists: bool
    denied: bool = False
    keys: tuple[HeldKey, ...] = ()

    @property
    def cut(self) -> bool:
        """Tell whether nobody can use any key of the user."""
        return not self.exists or (self.denied and not any(key.active for key in self.keys))

    def key_ids(self) -> set[str]:
        """Return the ids of all keys."""
        return {key.access_key_id for key in self.keys}

    def active_ids(self) -> set[str]:
        """Return the ids of the keys that AWS accepts."""
        return {key.access_key_id for key in self.keys if key.active}


class AccessSwitch(UserCalls):
    """Cuts the access of one user at a time, and gives it back; safe from many threads.

    ``environment`` holds the AWS settings. Every method raises `StackError` when AWS refuses or
    is away; each may be repeated, and carries on where the one before broke off.
    """

    def look(self, target: Target) -> HeldAccess:
        """Return the access that the target's user has.

        A user that neither carries our tag nor holds a key of our records is a stranger's.
        """
        with told(target.slug):
            return self._look(target)

    def cut(self, target: Target, wished: Wished = _always, *, anew: bool = True) -> HeldAccess:
        """Deny the user everything, make its keys inactive, and return what AWS confirms.

        A user that is gone has no access, which is success. Once ``wished`` says no, what AWS
        holds by then is returned. Without ``anew`` AWS is told nothing when it says that it holds
        the cut: for looking after one that was confirmed long ago.
        """

        def apply(held: HeldAccess) -> None:
            self._deny(target.user_name)
            # A key that was made just now may not be listed yet.
            for key_id in held.key_ids() | set(target.known_key_ids):
                self._switch(target.user_name, key_id, active=False)

        with told(target.slug):
            return self._until(target, apply, lambda held: held.cut, wished, anew=anew)

    def lift(self, target: Target, wanted: Wanted) -> HeldAccess:
        """Switch the wanted keys on and take the denial away; return what AWS confirms.

        ``wanted`` is asked each time, so that a key that was turned off for good meanwhile is not
        switched on again. Every other key stays as it is: the cut has made it inactive. The denial
        goes last.
        """
        on: set[str] = set()

        def wished() -> bool:
            found = wanted()
            on.clear()
            on.update(found or ())
            return found is not None

        def apply(_: HeldAccess) -> None:
            for key_id in on:
                self._switch(target.user_name, key_id, active=True)
            self._allow(target.user_name)

        def reached(held: HeldAccess) -> bool:
            return not held.denied and not on & held.key_ids() - held.active_ids()

        with told(target.slug):
            return self._until(target, apply, reached, wished)

    def keys_off(self, target: Target, key_ids: Collection[str]) -> HeldAccess:
        """Make these keys inactive and leave all others as they are; return what AWS confirms."""

        def apply(_: HeldAccess) -> None:
            for key_id in key_ids:
                self._switch(target.user_name, key_id, active=False)

        with told(target.slug):
            return self._until(
                target, apply, lambda held: not held.active_ids() & set(key_ids), _always
            )

    def denied(self, target: Target) -> bool:
        """Tell whether the target's user is denied everything; one call."""
        with told(target.slug):
            return self._denied(target.user_name)

    def user_with_key(self, access_key_id: str) -> str | None:
        """Return the name of the user that the key belongs to, or None: no user of this account.

        AWS is asked directly; an AWS that does not tell is searched user by user.
        """
        with told(access_key_id):
            try:
                found = self._iam.get_access_key_last_used(AccessKeyId=access_key_id)
            except ClientError as error:
                if is_gone(error):
                    return None
                if error_code(error) not in _UNKNOWN_KEY:
                    raise
                return self._search(access_key_id)
            return str(found["UserName"]) if found.get("UserName") else self._search(access_key_id)

    def client_of(self, user_name: str) -> str | None:
        """Return the client's id in the user's tag, None for a user that is not ours."""
        with told(user_name):
            return self._owner(user_name) or None

    def _search(self, access_key_id: str) -> str | None:
        for page in self._iam.get_paginator("list_users").paginate():
            for user in page["Users"]:
                if access_key_id in {key.access_key_id for key in self._keys(user["UserName"])}:
                    return str(user["UserName"])
        return None

    def _look(self, target: Target) -> HeldAccess:
        name = target.user_name
        owner = self._owner(name)
        if owner is None:
            return HeldAccess(name, exists=False)
        keys = self._keys(name)
        if owner != target.client_id and not any(
            key.access_key_id in target.known_key_ids for key in keys
        ):
            return HeldAccess(name, exists=False)
        return HeldAccess(name, exists=True, denied=self._denied(name), keys=tuple(keys))

    def _found(self, target: Target) -> HeldAccess:
        """Look, and again for some seconds where our records know of a key: IAM may not tell of
        a user that was made just now.
        """
        deadline = time.monotonic() + _APPEARANCE_SECONDS
        for last in hurried_clients_for(self._environment).settling.looks():
            held = self._look(target)
            if held.exists or last or not target.known_key_ids or time.monotonic() > deadline:
                return held
        raise AssertionError("unreachable: the last look returns")

    def _until(
        self,
        target: Target,
        apply: Callable[[HeldAccess], None],
        reached: Callable[[HeldAccess], bool],
        wished: Wished,
        *,
        anew: bool = True,
    ) -> HeldAccess:
        """Apply and look, until AWS shows what is to be, or it is not wished any more.

        Applied before AWS is believed: for some seconds it may tell of what was before the
        opposite wish. And applied again each time: that may be carried out elsewhere meanwhile.
        """
        deadline, pause = time.monotonic() + CONFIRMATION_SECONDS, _FIRST_PAUSE
        held = self._found(target)
        if not anew and reached(held):
            return held
        while held.exists and wished():
            apply(held)
            held = self._look(target)
            if not held.exists or reached(held):
                break
            if time.monotonic() > deadline:
                sentence = (
                    f"AWS took the calls for {target.user_name} and does not show their effect "
                    f"after {CONFIRMATION_SECONDS:.0f} seconds."
                )
                raise StackError(target.slug, Failure(UNCONFIRMED, sentence))
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return held
