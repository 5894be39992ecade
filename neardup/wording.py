"""Numbers of things in the words that people read."""


def counted(count: int, noun: str, form: str = "") -> str:
    """Return how many there are of what, such as ``1 image`` and ``2 images``.

    Parameters
    ----------
    count
        How many.
    noun
        What, if there is one; of several it takes an s.
    form
        How the number is written, as `format` has it.
    """
    return f"{count:{form}} {noun}{'' if count == 1 else 's'}"
