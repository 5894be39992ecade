from pathlib import Path

from demo.material import own_pictures
from neardup.sources.files import find_images
from tests.support.processes import photo


def test_own_pictures_are_those_that_the_commands_take(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    for name in ("a.jpg", "b/c.jpg", "b/@eaDir/c.jpg/thumb.jpg", ".hidden.jpg", "d.jpg"):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        (pictures / name).write_bytes(photo(1))
    (pictures / "e.jpg").symlink_to("a.jpg")
    material = own_pictures(pictures, tmp_path)
    seeds, stream = (
        [image.image_id for image in find_images([str(each)])] for each in (material.seeds, material.stream)
    )
    assert (seeds, stream) == (["a.jpg", "d.jpg"], ["b/c.jpg"])
    assert material.stream_files == len(stream)
    assert material.title.startswith("3 files of ")
