"""Random words for the part of a record's password that goes by another channel.

The signer's name alone is public, and about two hundred guesses a second can be tried on a file.
Six of 7,776 words are 77 bits.
"""

from functools import lru_cache

from xkcdpass import xkcd_password

WORDS = 6
_LIST = "eff-long"
_SHORTEST, _LONGEST = 3, 9


@lru_cache(maxsize=1)
def _words() -> list[str]:
    file = xkcd_password.locate_wordfile(_LIST)
    return list(xkcd_password.generate_wordlist(file, _SHORTEST, _LONGEST))


def new_code() -> str:
    """Return a new code: six random words, with single spaces between them."""
    return str(xkcd_password.generate_xkcdpassword(_words(), numwords=WORDS, delimiter=" "))
