"""Pictures of many forms, of which no two are alike, for descriptors that are learned."""

import numpy as np
from PIL import Image, ImageDraw

from neardup.types import Pixels


def collage(left: Pixels, right: Pixels) -> Pixels:
    """Return a picture that shows two of one height beside each other."""
    return np.concatenate([left, right], axis=1)


def scene(seed: int) -> Pixels:
    """Return a picture of a few large forms before a gradient."""
    random = np.random.default_rng(seed)
    top, bottom = random.integers(0, 256, (2, 3))
    shares = np.linspace(0, 1, 240)[:, np.newaxis, np.newaxis]
    image = Image.fromarray(np.broadcast_to(top * (1 - shares) + bottom * shares, (240, 320, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(9):
        left, up, wide, high = random.integers([0, 0, 20, 20], [280, 200, 140, 120])
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)(
            (int(left), int(up), int(left + wide), int(up + high)), fill=tuple(random.integers(0, 256, 3).tolist())
        )
    return np.asarray(image)
