"""The door of ``handover``: loads the program, then runs it."""

import gc
from importlib import import_module


def main() -> None:
    """Run the command line.

    What the imports make stays until the process ends. To look through it for garbage again and
    again while they run would be a fifth of the start.
    """
    gc.disable()
    program = import_module("service.cli")
    gc.freeze()
    gc.enable()
    program.main()
