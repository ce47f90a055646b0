"""What the parts of the service share: made once at start, passed on, never a global."""

import threading
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from sqlalchemy import Engine

from models.sealing import Keyring
from service.hub import OperationHub
from service.records import RecordOffice
from service.settings import Settings
from stacks.areas import Areas


class Dispatcher(Protocol):
    """Starts the work of operations that are committed."""

    def start(self, operation_id: str) -> None:
        """Start the operation's work soon; call it after the commit.

        Must not raise when nothing can be started now: the sweeper finds whatever is pending.
        """

    def alive(self) -> bool:
        """Tell whether a worker is there to do the work."""


@dataclass(frozen=True)
class Services:
    """The service's parts, for HTTP handlers, command line and worker."""

    settings: Settings
    database: Engine
    keyring: Keyring
    areas: Areas
    dispatcher: Dispatcher
    hub: OperationHub
    records: RecordOffice
    arrivals: threading.Event = field(default_factory=threading.Event)
    """Set when webhook events have arrived, so that they are looked at without delay."""

    mail_waits: threading.Event = field(default_factory=threading.Event)
    """Set when an e-mail waits to be sent, so that it is sent without delay."""

    def today(self) -> date:
        """Return the date where the organisation is."""
        return datetime.now(self.settings.zone).date()
