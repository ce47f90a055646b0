"""Refuses a new area when the AWS account has no room for its user, before anything is written."""

import logging
import threading
import time
from typing import Annotated

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, func, select

from models.clients import Client, ClientState
from models.database import transaction
from service import problems
from service.context import Services
from service.problems import Problem
from service.queue import QueueLimit
from stacks.areas import Areas
from stacks.failures import StackError

REFRESH_SECONDS = 10.0
"""How long the number of users that are none of our clients is believed."""

FIRST_ANSWER_SECONDS = 2.0

_WITHOUT_USER = (ClientState.closed, ClientState.failed)
_log = logging.getLogger("handover.http")


class UserQuota:
    """Counts users: clients by our own rows, everybody else by what AWS said last.

    AWS permits 5,000 users an account. Asking it for each request would cost a call, and would not
    see the clients that are still being opened.
    """

    def __init__(self, areas: Areas, database: Engine, limit: int) -> None:
        self._areas = areas
        self._database = database
        self._limit = limit
        self.others = 0
        self._known_until = 0.0

    def is_due(self) -> bool:
        """Tell whether the last answer is old."""
        return time.monotonic() >= self._known_until

    def refresh(self) -> None:
        """Ask AWS again when the last answer is old. An AWS that does not answer refuses nobody
        here.
        """
        if not self.is_due():
            return
        self._known_until = time.monotonic() + REFRESH_SECONDS
        try:
            users = self._areas.user_count()
            with transaction(self._database, write=False) as session:
                self.others = max(0, users - _clients_with_user(session))
        except (BotoCoreError, ClientError, StackError, SQLAlchemyError) as error:
            _log.warning("the number of IAM users is not known: %s", type(error).__name__)

    def admit(self, session: Session) -> None:
        """Raise the 409 when one more user would be too many."""
        users = self.others + _clients_with_user(session)
        if users >= self._limit:
            raise Problem(
                problems.QUOTA_REACHED,
                f"The AWS account has {users} of at most {self._limit} users.",
                members={"users": users, "limit": self._limit},
            )


class AdmissionControl:
    """What a new area has to pass: room in the queue, and a free user of the account."""

    def __init__(self, quota: UserQuota, queue: QueueLimit) -> None:
        self._quota = quota
        self._queue = queue
        self._asked = False

    @classmethod
    def of(cls, services: Services) -> "AdmissionControl":
        """Return the admission to these services."""
        settings = services.settings
        quota = UserQuota(services.areas, services.database, settings.iam_user_quota)
        return cls(quota, QueueLimit(settings.queue_limit))

    def refresh(self) -> None:
        """Ask AWS for its users when the last answer is old, beside the request.

        Only the first request of all waits for the answer, and not for long: an AWS that hangs
        must not hold up callers whose operations would wait for it anyway.
        """
        if not self._quota.is_due():
            return
        asking = threading.Thread(target=self._quota.refresh, name="quota", daemon=True)
        asking.start()
        if not self._asked:
            self._asked = True
            asking.join(FIRST_ANSWER_SECONDS)

    def admit(self, session: Session) -> None:
        """Raise the Problem that says why no area is opened now; 429 or 409."""
        self._queue.admit(session)
        self._quota.admit(session)


def admission_of(request: Request) -> AdmissionControl:
    """Return the application's one admission of new areas."""
    admission = request.app.state.admission
    assert isinstance(admission, AdmissionControl)
    return admission


AdmissionDep = Annotated[AdmissionControl, Depends(admission_of)]


def _clients_with_user(session: Session) -> int:
    count = select(func.count()).select_from(Client)
    return session.exec(count.where(col(Client.state).not_in(_WITHOUT_USER))).one()
