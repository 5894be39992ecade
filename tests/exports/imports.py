"""Imports exports by each tool's own package; run by `tests.exports` in an environment that has these, not ours."""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
LABEL_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <Text name="told" value="$verdict"/>
  <Choices name="class" toName="image"><Choice value="cat"/><Choice value="dog"/></Choices>
</View>"""


def of_pandas(folder: Path, rows: Rows) -> str:
    """Read the table for spreadsheets."""
    import pandas as pd

    table = pd.read_csv(folder / "all.csv", parse_dates=["decided_at"])
    assert table["image_id"].tolist() == [row["image_id"] for row in rows]
    assert table["distance"].notna().sum() == sum(row["distance"] is not None for row in rows)
    assert str(table["decided_at"].dtype).startswith("datetime64")
    groups = table.groupby("group").size()
    return f"pandas {pd.__version__}: {len(table)} rows, {len(groups)} groups"


def of_pyarrow(folder: Path, rows: Rows) -> str:
    """Read the Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "all.parquet")
    assert table.column("group").to_pylist() == [row["group"] for row in rows]
    assert pa.types.is_timestamp(table.schema.field("decided_at").type)
    return f"pyarrow {pa.__version__}: {table.num_rows} rows, {table.num_columns} columns"


def of_pycocotools(folder: Path, rows: Rows) -> str:
    """Load the COCO file by COCO's own API."""
    from pycocotools.coco import COCO

    coco = COCO(str(folder / "all.coco.json"))
    images = coco.loadImgs(coco.getImgIds())
    assert [image["file_name"] for image in images] == [row["image_id"] for row in rows]
    assert [(image["width"], image["height"]) for image in images] == [(row["width"], row["height"]) for row in rows]
    return f"pycocotools: {len(images)} images"


def of_datumaro_coco(folder: Path, rows: Rows) -> str:
    """Import the COCO file as a data set without its images."""
    import datumaro

    with tempfile.TemporaryDirectory() as made:
        annotations = Path(made) / "annotations"
        annotations.mkdir()
        (Path(made) / "images").mkdir()
        (annotations / "instances_train.json").write_bytes((folder / "all.coco.json").read_bytes())
        dataset = datumaro.Dataset.import_from(made, "coco")
        assert sorted(f"{item.id}" for item in dataset) == sorted(
            str(Path(row["image_id"]).with_suffix("")) for row in rows
        )
        return f"datumaro {datumaro.__version__} (coco): {len(dataset)} images"


def of_datumaro_cvat(folder: Path, rows: Rows) -> str:
    """Import CVAT's XML, and look at the tags."""
    import datumaro

    # It wants the images beside the file.
    for row in rows:
        image = folder / "images" / row["image_id"]
        image.parent.mkdir(parents=True, exist_ok=True)
        image.symlink_to(row["image"])
    dataset = datumaro.Dataset.import_from(str(folder / "all.cvat.xml"), "cvat")
    labels = [label.name for label in dataset.categories()[datumaro.AnnotationType.label].items]
    assert labels == ["unique", "duplicate"]
    told = {item.id: item.annotations[0] for item in dataset}
    for row in rows:
        tag = told[str(Path(row["image_id"]).with_suffix(""))]
        assert (labels[tag.label], tag.attributes["group"]) == (row["verdict"], row["group"])
    return f"datumaro {datumaro.__version__} (cvat): {len(told)} images with a tag each"


def of_cvat_sdk(folder: Path, rows: Rows) -> str:
    """Make CVAT's own requests of the labels and tags, which checks their types."""
    from xml.etree import ElementTree as ET

    import cvat_sdk
    from cvat_sdk import models

    root = ET.parse(folder / "all.cvat.xml").getroot()  # noqa: S314 - our own file
    labels = [
        models.PatchedLabelRequest(
            name=label.findtext("name"),
            type=label.findtext("type"),
            attributes=[
                models.AttributeRequest(
                    name=attribute.findtext("name"),
                    mutable=attribute.findtext("mutable") == "True",
                    input_type=attribute.findtext("input_type"),
                    default_value=attribute.findtext("default_value") or "",
                    values=[],
                )
                for attribute in label.iter("attribute")
            ],
        )
        for label in root.iter("label")
    ]
    tags = [
        models.LabeledImageRequest(
            frame=int(image.attrib["id"]),
            label_id=[label.name for label in labels].index(tag.attrib["label"]),
            source=tag.attrib["source"],
            attributes=[
                models.AttributeValRequest(spec_id=number, value=attribute.text or "")
                for number, attribute in enumerate(tag.iter("attribute"))
            ],
        )
        for image in root.iter("image")
        for tag in image.iter("tag")
    ]
    assert len(tags) == len(rows)
    return f"cvat-sdk {cvat_sdk.__version__}: {len(labels)} labels, {len(tags)} tags"


def of_label_studio(folder: Path, rows: Rows) -> str:
    """Check the tasks against a project's labelling interface."""
    from importlib.metadata import version

    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface(LABEL_CONFIG)
    interface.validate()
    tasks = json.loads((folder / "all.labelstudio.json").read_text("utf-8"))
    assert len(tasks) == len(rows)
    for task in tasks:
        assert interface.validate_task(task), task
    return f"label-studio-sdk {version('label-studio-sdk')}: {len(tasks)} tasks"


def of_fiftyone(folder: Path, rows: Rows) -> str:
    """Import the folder as a dataset, into FiftyOne's own database."""
    import fiftyone as fo

    dataset = fo.Dataset.from_dir(dataset_dir=str(folder / "all.fiftyone"), dataset_type=fo.types.FiftyOneDataset)
    wanted = {row["image"]: row for row in rows if row["image"]}
    assert len(dataset) == len(wanted)
    for sample in dataset:
        row = wanted[sample.filepath]
        assert (sample.verdict.label, sample.tags, sample.group_of_duplicates) == (
            row["verdict"],
            [row["verdict"]],
            row["group"],
        )
        assert sample.distance == row["distance"]
    dataset.compute_metadata()
    assert all(sample.metadata is not None for sample in dataset)
    counts = dataset.count_values("verdict.label")
    return f"fiftyone {fo.__version__}: {len(dataset)} samples, {counts}"


TOOLS: tuple[Callable[[Path, Rows], str], ...] = (
    of_pandas,
    of_pyarrow,
    of_pycocotools,
    of_datumaro_coco,
    of_datumaro_cvat,
    of_cvat_sdk,
    of_label_studio,
    of_fiftyone,
)


def main(folder: Path) -> None:
    """Import all, and say what was found."""
    rows = [json.loads(line) for line in (folder / "all.jsonl").read_text("utf-8").splitlines()]
    for tool in TOOLS:
        print(tool(folder, rows), flush=True)  # noqa: T201 - that is its purpose


if __name__ == "__main__":
    main(Path(sys.argv[1]))
