"""Reads and checks files that `bootstrap.generation.snapshot.export_snapshot` or another program wrote."""

import base64
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.generation.jsonstream import JsonObjectReader
from bootstrap.generation.snapshot import FORMAT, FORMAT_VERSION, META_FIELDS, PART_FIELDS, RELATION_FIELDS, Snapshot
from neardup.capture_time import REMARKABLE, explained, now_ms, wrong_time
from neardup.descriptors.base import Descriptor
from neardup.descriptors.pca import Pca
from neardup.errors import CorruptIndex, IndexMismatch, Misconfigured
from neardup.index.base import IndexMeta, check_look
from neardup.index.descriptor import fitted_to
from neardup.relation.kept import Parts, joined, parts_of
from neardup.relation.symmetry import SWITCHES
from neardup.search.cells import Cells
from neardup.types import Kept, Member

_LOG = logging.getLogger(__name__)
_NORM_TOLERANCE = 0.01
"""float16 keeps the norm within 0.001; further off, distances would not be those of unit vectors."""
_RANK_TOLERANCE = 1e-6
"""Another machine may break a tie between two centroids in another way; a wrong cluster is further off."""
_MAX_L2 = 2.0
_MAX_TEXT_BYTES = 65_535
_MEMBER_FIELDS = {"key": str, "image_id": str, "captured_at_ms": int, "cluster": int, "descriptor": list}


def import_snapshot(path: Path, descriptor: Descriptor) -> Snapshot:
    """Read a snapshot from a JSON file, and check all that an index relies on.

    Parameters
    ----------
    path
        File that ``--export`` wrote.
    descriptor
        The one that will describe the stream: the file's members must have been described by it.

    Raises
    ------
    Misconfigured
        One line that names the file and what is wrong with it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            parts = _read(JsonObjectReader(file))
        return _checked(parts, descriptor)
    except OSError as exc:
        raise Misconfigured(f"--import: cannot read {path}: {exc.strerror or exc}") from exc
    except json.JSONDecodeError as exc:
        raise Misconfigured(f"--import: {path} is not JSON: {exc.msg}") from exc
    except (ValueError, RecursionError) as exc:
        raise Misconfigured(f"--import: {path}: {exc}") from exc


def _read(reader: JsonObjectReader) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for name in reader.names():
        if name == "centroids":
            parts[name] = [_vector(row, np.float32, f"centroid {at}") for at, row in enumerate(reader.elements())]
        elif name == "pca":
            parts[name] = _pca(reader.elements())
        elif name == "members":
            parts[name] = [_member(fields, f"member {at}") for at, fields in enumerate(reader.elements())]
        else:
            parts[name] = reader.value()
        if name == "format" and parts[name] != FORMAT:
            break
    _require_format(parts)
    return parts


def _require_format(parts: dict[str, Any]) -> None:
    if parts.get("format") != FORMAT:
        raise ValueError(f'it is not an exported index (its "format" should be "{FORMAT}")')
    if parts.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"it has format version {parts.get('format_version')}, this version reads {FORMAT_VERSION}")
    for name in ("meta", "centroids", "members"):
        if not parts.get(name):
            raise ValueError(f'"{name}" is missing or empty')


def _pca(pieces: Iterable[Any]) -> Pca:
    try:
        return Pca.from_bytes(b"".join(base64.b64decode(piece, validate=True) for piece in pieces))
    except (TypeError, ValueError, CorruptIndex) as exc:
        raise ValueError(f'"pca" is invalid: {exc}') from exc


def _vector(numbers: Any, kind: type[np.float16 | np.float32], what: str) -> NDArray[Any]:  # noqa: ANN401 - JSON
    try:
        with np.errstate(over="ignore"):
            vector = np.array(numbers, dtype=np.float64).astype(kind)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{what} is not a list of numbers") from exc
    if vector.ndim != 1:
        raise ValueError(f"{what} is not a list of numbers")
    if not np.isfinite(vector).all():
        raise ValueError(f"{what} holds NaN, infinity or a number too large")
    return vector


def _member(fields: Any, what: str) -> tuple[Member, int]:  # noqa: ANN401 - JSON
    for name, kind in _MEMBER_FIELDS.items():
        # Not isinstance: true is an int to Python, and no cluster.
        if type(fields) is not dict or type(fields.get(name)) is not kind:
            raise ValueError(f'{what}: "{name}" is missing or not of type {kind.__name__}')
    for name in ("key", "image_id"):
        _require_text(fields[name], f'{what}: "{name}"')
    if not -(2**63) <= fields["captured_at_ms"] < 2**63:
        raise ValueError(f'{what}: "captured_at_ms" is out of range')
    descriptor = _vector(fields["descriptor"], np.float16, what)
    kept = joined({part: _part(fields[name], part, what) for part, name in PART_FIELDS.items() if name in fields})
    return Member(fields["key"], fields["image_id"], descriptor, fields["captured_at_ms"], kept), fields["cluster"]


def _part(text: Any, part: Parts, what: str) -> Kept:  # noqa: ANN401 - JSON
    name = PART_FIELDS[part]
    try:
        stored = base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as exc:
        raise ValueError(f'{what}: "{name}" is not base64') from exc
    if len(stored) != part.stored_nbytes:
        raise ValueError(f'{what}: "{name}" has {len(stored)} bytes, it should have {part.stored_nbytes}')
    return np.frombuffer(stored, dtype=np.uint8)


def _require_text(text: str, what: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise ValueError(f"{what} is not Unicode text") from exc
    if not 0 < size <= _MAX_TEXT_BYTES:
        raise ValueError(f"{what} is empty or longer than {_MAX_TEXT_BYTES} bytes")


def _checked(parts: dict[str, Any], descriptor: Descriptor) -> Snapshot:
    pca: Pca | None = parts.get("pca")
    meta = _meta(parts["meta"])
    _require_descriptor(meta, pca, descriptor)
    members = [member for member, _ in parts["members"]]
    _require_parts(members, meta)
    _require_dimension(parts["centroids"], meta.dimension, "centroid")
    _require_dimension([member.descriptor for member in members], meta.dimension, "member")
    _require_distinct(member.key for member in members)
    cells = Cells(np.stack(parts["centroids"]))
    clusters = np.array([cluster for _, cluster in parts["members"]], dtype=object)
    _require(clusters, lambda rows: (rows >= 0) & (rows < len(cells)), f"its cluster is not from 0 to {len(cells) - 1}")
    snapshot = Snapshot(replace(meta, clusters=len(cells)), cells, members, clusters.astype(np.intp), pca)
    _require_unit_norm(members)
    _require_nearest(snapshot)
    _warn_of_times(members)
    return snapshot


def _meta(fields: Any) -> IndexMeta:  # noqa: ANN401 - JSON
    missing = [name for name in META_FIELDS if not isinstance(fields, dict) or name not in fields]
    if missing:
        raise ValueError(f'"meta" has no {", ".join(missing)}')
    if not isinstance(fields["radius"], int | float) or not 0 <= fields["radius"] <= _MAX_L2:
        raise ValueError(f"its radius {fields['radius']!r} is not a number from 0 to {_MAX_L2:g}")
    if not isinstance(fields["seed"], dict):
        raise ValueError('"meta": "seed" is not an object')  # noqa: TRY004 - a wrong file, not a wrong call
    relation = {name: fields[name] for name in (*RELATION_FIELDS, "look_version") if name in fields}
    try:
        check_look(relation)
    except IndexMismatch as exc:
        raise ValueError(str(exc)) from exc
    _require_relation(relation)
    calibration = fields.get("calibration", {})
    if not isinstance(calibration, dict):
        raise ValueError('"meta": "calibration" is not an object')  # noqa: TRY004 - a wrong file, not a wrong call
    known = {name: fields[name] for name in META_FIELDS}
    return IndexMeta(name="", generation=0, **known, **relation, calibration=calibration)


def _require_descriptor(meta: IndexMeta, pca: Pca | None, raw: Descriptor) -> None:
    try:
        descriptor = fitted_to(meta, pca, raw)
    except IndexMismatch as exc:
        raise ValueError(
            f"its members were described by {meta.descriptor} ({meta.fingerprint}), this process uses "
            f"{raw.spec} ({raw.fingerprint}): use the same --descriptor, and --weights if any"
        ) from exc
    if meta.dimension != descriptor.dimension:
        raise ValueError(f"its dimension is {meta.dimension}, that of {raw.spec} is {descriptor.dimension}")


def _require_relation(relation: dict[str, Any]) -> None:
    limit = relation.get("local_change")
    if limit is not None and (type(limit) not in {int, float} or not limit >= 0):
        raise ValueError(f"its local_change {limit!r} is neither null nor a number from 0 on")
    least = relation.get("agreement")
    if least is not None and (type(least) not in {int, float} or not 0 <= least <= 1):
        raise ValueError(f"its agreement {least!r} is neither null nor a number from 0 to 1")
    for name in SWITCHES:
        if type(relation.get(name, False)) is not bool:
            raise ValueError(f"its {name} is neither true nor false")
    if relation.get("match_parts") and least is None:
        raise ValueError("its match_parts is true, but it takes no second look: its agreement is null")


def _warn_of_times(members: Sequence[Member]) -> None:
    clock_ms = now_ms()
    wrong = [at for at, member in enumerate(members) if wrong_time(member.captured_at_ms, clock_ms) in REMARKABLE]
    if wrong:
        _LOG.warning(
            "the time of %d of %d members counts as unknown; the first is member %d, with captured_at_ms %s",
            *(len(wrong), len(members), wrong[0], explained(members[wrong[0]].captured_at_ms, clock_ms)),
        )


def _require_parts(members: Iterable[Member], meta: IndexMeta) -> None:
    for at, member in enumerate(members):
        if parts_of(member.kept) != meta.relation.parts:
            raise ValueError(
                f"member {at} has {parts_of(member.kept)} kept, not {meta.relation.parts}, which its local_change "
                f"({meta.local_change}) and agreement ({meta.agreement}) compare"
            )


def _require_dimension(vectors: Iterable[NDArray[Any]], dimension: int, what: str) -> None:
    for at, vector in enumerate(vectors):
        if len(vector) != dimension:
            raise ValueError(f"{what} {at} has {len(vector)} numbers, it should have {dimension}")


def _require_distinct(keys: Iterable[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"two members have the key {key!r}")
        seen.add(key)


def _require(values: NDArray[Any], good: Callable[[NDArray[Any]], NDArray[Any]], wrong: str) -> None:
    bad = np.flatnonzero(~good(values).astype(bool))
    if len(bad):
        raise ValueError(f"member {bad[0]}: {wrong}")


def _require_unit_norm(members: Iterable[Member]) -> None:
    norms = np.array([np.linalg.norm(member.descriptor.astype(np.float64)) for member in members])
    _require(norms, lambda rows: np.abs(rows - 1.0) <= _NORM_TOLERANCE, "its descriptor is not of length 1")


def _require_nearest(snapshot: Snapshot) -> None:
    for at, (member, cluster) in enumerate(zip(snapshot.members, snapshot.clusters.tolist(), strict=True)):
        ranks = snapshot.cells.rank(member.descriptor[np.newaxis])[0]
        if ranks[cluster] - ranks.min() > _RANK_TOLERANCE:
            raise ValueError(f"member {at}: its cluster is {cluster}, its nearest centroid is {int(ranks.argmin())}")
