"""Refuses a new area when the AWS account has no room for its user, before anything is written."""

import logging
import time

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Engine
from sqlmodel import Session, col, func, select

from models.clients import Client, ClientState
from models.database import transaction
from service import problems
from service.problems import Problem
from stacks.areas import Areas
from stacks.failures import StackError

REFRESH_SECONDS = 10.0
"""How long the number of users that are none of our clients is believed."""

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

    def refresh(self) -> None:
        """Ask AWS again when the last answer is old. An AWS that does not answer refuses nobody
        here.
        """
        if time.monotonic() < self._known_until:
            return
        self._known_until = time.monotonic() + REFRESH_SECONDS
        try:
            users = self._areas.user_count()
        except (BotoCoreError, ClientError, StackError) as error:
            _log.warning("the number of IAM users is not known: %s", type(error).__name__)
            return
        with transaction(self._database, write=False) as session:
            self.others = max(0, users - _clients_with_user(session))

    def admit(self, session: Session) -> None:
        """Raise the 409 when one more user would be too many."""
        users = self.others + _clients_with_user(session)
        if users >= self._limit:
            raise Problem(
                problems.QUOTA_REACHED,
                f"The AWS account has {users} of at most {self._limit} users.",
                members={"users": users, "limit": self._limit},
            )


def _clients_with_user(session: Session) -> int:
    count = select(func.count()).select_from(Client)
    return session.exec(count.where(col(Client.state).not_in(_WITHOUT_USER))).one()
