"""The curve of a calibration as a picture: what a radius costs, and what it finds. Needs matplotlib."""

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bootstrap.calibration.wording import agreement_origin, radius_origin

if TYPE_CHECKING:
    from bootstrap.calibration.radius import Calibration

_LOWEST_RATE = 1e-9


def calibration_figure(calibration: "Calibration") -> Figure:
    """Draw the false-pair rate and the fraction of light edits found against the radius, and the radius chosen."""
    figure = Figure(figsize=(10, 6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    rates = figure.add_subplot()
    curve = calibration.curve
    rates.plot(curve["radius"], [max(_LOWEST_RATE, rate) for rate in curve["false_pairs"]], color="tab:red")
    rates.set_yscale("log")
    rates.set_ylim(_LOWEST_RATE, 1.0)
    rates.set_xlabel("radius (L2 distance)")
    rates.set_ylabel("false pairs, part of all pairs (estimated where few were seen)", color="tab:red")
    rates.axhline(calibration.false_pairs, color="tab:red", linestyle=":", linewidth=1)
    rates.axvline(calibration.radius, color="black", linewidth=1)
    if calibration.bound is not None:
        rates.axvline(calibration.bound, color="tab:red", linestyle="--", linewidth=1)
    found = rates.twinx()
    found.plot(curve["radius"], [100.0 * part for part in curve["edits_found"]], color="tab:blue")
    found.set_ylim(0, 105)
    found.set_ylabel("light edits found, %", color="tab:blue")
    document = calibration.document()
    title = [f"radius {calibration.radius:g}: {radius_origin(document)}", calibration.warning]
    if calibration.agreement is not None:
        title.insert(1, f"agreement {calibration.agreement:g}: {agreement_origin(document) or 'not calibrated'}")
    rates.set_title("\n".join(part for part in title if part), fontsize=9, wrap=True)
    return figure
