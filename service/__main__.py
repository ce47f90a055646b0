"""``python -m service`` is ``handover``."""

from service.cli import main

if __name__ == "__main__":
    main()
