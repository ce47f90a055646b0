"""A stack that somebody else's update holds: who, and what to do when that somebody is gone.

Nobody's lock is ever taken away here: whether the one who holds it still works can't be told from
another machine, and two updates of one stack would make two keys.
"""

from engine.backend import open_backend, parse_stack_name
from engine.errors import EngineError, StackLockedError
from engine.locks import owners_in, refuse_living
from stacks.backend import Backend
from stacks.failures import LOCKED, Failure, StackError


def held(project: str, stack: str, text: str) -> Failure:
    """Return the failure of an update that an engine refused with this text about locks."""
    holder = " and ".join(
        f"{owner.username}@{owner.hostname} (process {owner.pid}) since {owner.since}"
        for owner in owners_in(text)
    )
    command = f"handover engine run -- cancel --yes --stack organization/{project}/{stack}"
    return Failure(
        LOCKED,
        f"the stack {stack} is held by an update of {holder or 'somebody unknown'}; this goes on "
        f"when that has ended. If that process is gone for good, remove its lock: {command}",
    )


def refuse_held(backend: Backend, project: str, stack: str) -> None:
    """Raise `StackError` when a living update holds the stack, as far as its files tell.

    For what changes AWS beside the engine and takes no lock. Only a file backend has files; on
    any other the update itself finds the lock.
    """
    try:
        files = open_backend(backend.url)
        refuse_living(files.lock_directory(parse_stack_name(stack, project)))
    except StackLockedError as error:
        raise StackError(stack, held(project, stack, str(error))) from error
    except EngineError:
        # No file backend; or something is amiss there, which the engine itself says better.
        return
