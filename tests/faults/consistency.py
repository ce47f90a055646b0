"""IAM as AWS has it: what was just made is not known yet, what was just deleted is still there, and
what was just changed is told as it was.

Kept apart from the local AWS, which knows at once: this looks at each call that went through and
bends the answers of those that follow.
"""

import re
import threading
import time
from dataclasses import dataclass, field

from tests.faults.calls import Answer, Call, refusal

_KEY = re.compile(rb"<AccessKeyId>([^<]+)</AccessKeyId>")
_MEMBER = re.compile(rb"<member>(?:(?!</member>).)*</member>", re.DOTALL)
_LIST_END = b"</AccessKeyMetadata>"
_LAGGING = ("GetUserPolicy", "ListUserPolicies", "ListAccessKeys")


@dataclass
class _Key:
    user: str
    member: bytes
    known_from: float
    deleted_until: float | None = None


@dataclass
class Consistency:
    """How long, in seconds, the new is unknown and the deleted still there; `fall_behind` lets what
    is told of policies, keys and their status lag as well.
    """

    unknown: float = 0.0
    lingering: float = 0.0
    _users: dict[str, float] = field(default_factory=dict)
    _ghosts: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    _keys: dict[str, _Key] = field(default_factory=dict)
    _told: dict[tuple[str, ...], Answer] = field(default_factory=dict)
    _behind_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fall_behind(self, seconds: float) -> None:
        """Tell once more, for so long, what was told last of each user's policies and keys."""
        with self._lock:
            self._behind_until = time.monotonic() + seconds

    def before(self, call: Call) -> Answer | None:
        """The answer that AWS gives while its parts do not agree; None to ask it."""
        now = time.monotonic()
        with self._lock:
            if call.signed_by in self._keys and now < self._keys[call.signed_by].known_from:
                code = "InvalidAccessKeyId" if call.service == "s3" else "InvalidClientTokenId"
                return refusal(call.service, 403, code)
            if call.service != "iam" or not call.user:
                return None
            if now < self._behind_until and _told_of(call) in self._told:
                return self._told[_told_of(call)]
            return self._about_user(call, now)

    def after(self, call: Call, answer: Answer) -> Answer:
        """The answer as it looks from where not all is known yet."""
        found = self._known(call, answer)
        if call.service == "iam" and call.action in _LAGGING:
            with self._lock:
                self._told[_told_of(call)] = found
        return found

    def _known(self, call: Call, answer: Answer) -> Answer:
        if call.service != "iam" or not answer.ok:
            return answer
        now = time.monotonic()
        with self._lock:
            if call.action == "CreateUser":
                self._users[call.user] = now + self.unknown
                self._ghosts[call.user] = (0.0, answer.body.replace(b"CreateUser", b"GetUser"))
            elif call.action == "DeleteUser":
                _, body = self._ghosts.get(call.user, (0.0, b""))
                self._ghosts[call.user] = (now + self.lingering, body)
            elif call.action == "CreateAccessKey":
                self._note_key(call, answer, now)
            elif call.action == "DeleteAccessKey" and call.key_id in self._keys:
                self._keys[call.key_id].deleted_until = now + self.lingering
            elif call.action == "ListAccessKeys":
                return self._listed(call, answer, now)
        return answer

    def _about_user(self, call: Call, now: float) -> Answer | None:
        until, body = self._ghosts.get(call.user, (0.0, b""))
        if call.action == "CreateUser":
            if now < until:
                return refusal("iam", 409, "EntityAlreadyExists", "the deleted one is still there")
            return None
        if now < self._users.get(call.user, 0.0):
            return refusal(
                "iam", 404, "NoSuchEntity", f"The user with name {call.user} cannot be found."
            )
        if call.action == "GetUser" and now < until:
            return Answer(200, (("Content-Type", "text/xml"),), body)
        if call.action == "DeleteUser" and self._has_keys(call.user, now):
            return refusal("iam", 409, "DeleteConflict", "must delete access keys first")
        key = self._keys.get(call.key_id)
        if key is not None and now < key.known_from:
            return refusal(
                "iam", 404, "NoSuchEntity", f"The Access Key with id {call.key_id} cannot be found."
            )
        return None

    def _has_keys(self, user: str, now: float) -> bool:
        """Whether the user has keys, seen from where its deletion is decided."""
        return any(
            key.user == user and (key.deleted_until is None or now < key.deleted_until)
            for key in self._keys.values()
        )

    def _note_key(self, call: Call, answer: Answer, now: float) -> None:
        found = _KEY.search(answer.body)
        if found is not None:
            member = b"<member><UserName>%s</UserName><AccessKeyId>%s</AccessKeyId>" % (
                call.user.encode(),
                found[1],
            )
            member += b"<Status>Active</Status><CreateDate>2026-01-01T00:00:00Z</CreateDate>"
            self._keys[found[1].decode()] = _Key(
                call.user, member + b"</member>", now + self.unknown
            )

    def _listed(self, call: Call, answer: Answer, now: float) -> Answer:
        body = answer.body
        for key_id, key in self._keys.items():
            if key.user != call.user:
                continue
            if now < key.known_from:
                body = _without(body, key_id.encode())
            elif key.deleted_until is not None and now < key.deleted_until:
                body = body.replace(_LIST_END, key.member + _LIST_END)
        return Answer(answer.status, answer.headers, body)


def _told_of(call: Call) -> tuple[str, ...]:
    return call.action, call.user, call.arguments.get("PolicyName", "")


def _without(body: bytes, key_id: bytes) -> bytes:
    return _MEMBER.sub(lambda found: b"" if key_id in found[0] else found[0], body)
