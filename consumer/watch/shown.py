"""Text of strangers, as it may be shown: what would act on a terminal, or turn a line around, is spelt out."""

import re

# Control and line-breaking characters, what changes the direction of text or has no width, and lone surrogates. The
# joiners of emoji and of some scripts (200c, 200d) may stay.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def shown(text: str) -> str:
    r"""Return a text in one line that does nothing but be read: an escape character becomes ``\x1b``."""
    return _ODD.sub(lambda odd: odd[0].encode("unicode_escape").decode(), text)
