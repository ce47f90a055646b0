"""``python -m service`` is ``handover``."""

from service.start import main

if __name__ == "__main__":
    main()
