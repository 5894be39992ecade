#!/usr/bin/env bash
# Label Studio's COCO export gives a photo that is turned by EXIF the sides of the file, not those of the picture that
# was annotated: boxes then reach beyond the image. A 400 x 300 JPEG with orientation 6 is shown, and annotated, as
# 300 x 400 (the annotation says so in original_width and original_height). A box in its lowest quarter is exported as
# [0, 300, 150, 100] of an image of 400 x 300: wholly outside.
# Seen with label-studio-sdk 2.1.2:
#   image 400 x 300, box [0.0, 300.0, 150.0, 100.0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check label-studio-sdk==2.1.2
cd "$folder"
venv/bin/python - <<'PYTHON'
import json
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter
from PIL import Image

uploads = Path("uploads").absolute()
uploads.mkdir()
orientation = Image.Exif()
orientation[0x0112] = 6
Image.new("RGB", (400, 300)).save(uploads / "turned.jpg", exif=orientation)
box = {
    "id": "1",
    "type": "rectanglelabels",
    "from_name": "label",
    "to_name": "image",
    "original_width": 300,
    "original_height": 400,
    "value": {"x": 0, "y": 75, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["thing"]},
}
task = {"id": 1, "data": {"image": str(uploads / "turned.jpg")}, "annotations": [{"id": 1, "result": [box]}]}
Path("tasks.json").write_text(json.dumps([task]))
config = (
    '<View><Image name="image" value="$image"/>'
    '<RectangleLabels name="label" toName="image"><Label value="thing"/></RectangleLabels></View>'
)
Converter(config, project_dir=".", upload_dir=str(uploads), download_resources=False).convert_to_coco(
    "tasks.json", "out", output_image_dir="out/images", is_dir=False
)
exported = json.loads(Path("out/result.json").read_text())
(image,), (annotation,) = exported["images"], exported["annotations"]
print(f"image {image['width']} x {image['height']}, box {annotation['bbox']}")
left, top, width, height = annotation["bbox"]
sys.exit(not (image["height"] == 300 and top + height == 400))
PYTHON
