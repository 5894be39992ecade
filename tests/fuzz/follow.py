"""Fuzzing that follows coverage: ``python -m tests.fuzz.follow TARGET``, then libFuzzer's options and folders."""

import sys

import atheris

with atheris.instrument_imports(include=["PIL", "consumer", "neardup"]):
    from PIL import Image

    from neardup.decoding.formats import has_heif
    from tests.fuzz.targets import TARGETS

    Image.init()  # all of Pillow's formats, or they would be imported unseen
    has_heif()

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]].run)
    atheris.Fuzz()
