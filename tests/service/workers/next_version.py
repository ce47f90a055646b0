"""``python -m tests.service.workers.next_version``: the service as its next version would be."""

from service.cli import main
from service.worker import durable
from tests.service.unhurried import unhurried

if __name__ == "__main__":
    unhurried()
    durable.APPLICATION_VERSION = f"{durable.APPLICATION_VERSION}-next"
    main()
