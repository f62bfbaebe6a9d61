"""One look for all figures: sizes for print, colours for the colour-blind with a second cue, names for readers."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from clxai.names import REFERENCE
from clxai.runtime.artefacts import atomic

_MARK_INCHES = 0.2  # height of the line for a mark
PAGE_WIDTH = 7.0  # inches, two columns of a paper
_NAMES = {
    "ce": "CE",
    "supcon": "SupCon",
    "ce_matched": "CE, matched",
    "ce_finetuned": "CE, fine-tuned",
    "ce_masked": "CE, masked",
    "supcon_finetuned": "SupCon, fine-tuned",
    "morf": "MoRF",
    "lerf": "LeRF",
    "srg": "SRG",
    "softmax": "softmax",
    "linear": "linear",
    "knn": "kNN",
    "mahalanobis": "Mahalanobis",
    "random": "random",
    "sobel": "Sobel",
    "saliency": "saliency",
    "input_x_gradient": "input x gradient",
    "integrated_gradients": "IG",
    "smoothgrad": "SmoothGrad",
    "smoothgrad_sq": "SmoothGrad squared",
    "gradient_shap": "GradientSHAP",
    "shap_gradient": "SHAP's gradients",
    "shap_partition": "SHAP's partitions",
    "guided_grad_cam": "guided Grad-CAM",
    "occlusion": "occlusion",
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
    "layer_cam": "Layer-CAM",
    "hires_cam": "HiResCAM",
    "eigen_cam": "Eigen-CAM",
    "ablation_cam": "Ablation-CAM",
    "lrp": "LRP",
    "lime": "LIME",
    "banzhaf": "Banzhaf",
    "kernel_shap": "Kernel SHAP",
    "rise": "RISE",
    "leave_one_out": "leave-one-out",
    "all": "mean",
}
# Seaborn's palette `colorblind`; importing it would double the time of most figures.
COLOURS = (
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"),
)
_LOOK: dict[str, object] = {  # over Seaborn's styles as they come with matplotlib
    "axes.linewidth": 1.0,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "font.size": 8.64,
    "legend.title_fontsize": 8.64,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.8,
    "lines.markeredgewidth": 1.0,
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "patch.linewidth": 0.8,
    **{f"{axis}tick.major.size": 4.8 for axis in "xy"},
    **{f"{axis}tick.major.width": 1.0 for axis in "xy"},
    **{f"{axis}tick.major.pad": 3.5 for axis in "xy"},
    **{f"{axis}tick.minor.size": 3.2 for axis in "xy"},
    **{f"{axis}tick.minor.width": 0.8 for axis in "xy"},
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib
    "svg.hashsalt": "clxai",
    "svg.fonttype": "path",  # a browser without our font would shift the labels
    "pdf.fonttype": 42,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
}
_DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
_MARKERS = "osD^vP*X<>"


def title(name: str) -> str:
    """Return the name as a reader of a figure knows it."""
    return _NAMES.get(name, name.replace("_", " "))


def short(value: float) -> str:
    """Write a number below 1 with two digits and no leading zero, as tables in papers do."""
    rounded = round(value, 2) + 0.0  # no negative zero
    return f"{rounded:.2f}".replace("0.", ".", 1).replace("-", "−")


def use_style() -> None:
    """Set back end, fonts, lines and fixed ids once per process, from matplotlib's own defaults: no `matplotlibrc` has a say."""
    mpl.use("agg")  # the back end of a notebook may not be installed
    mpl.rcdefaults()
    plt.style.use(["seaborn-v0_8-ticks", "seaborn-v0_8-paper", _LOOK])


def look_of(names: Sequence[str]) -> dict[str, dict[str, object]]:
    """Return colour, dash and marker of each name; the random reference is a grey dotted line whatever its place.

    The first fifty differ: each round of colours has its own dashes and markers.
    """
    looks: dict[str, dict[str, object]] = {}
    for n, name in enumerate(name for name in names if name != REFERENCE):
        other = n + n // len(COLOURS)
        looks[name] = {
            "color": COLOURS[n % len(COLOURS)],
            "linestyle": _DASHES[other % len(_DASHES)],
            "marker": _MARKERS[other % len(_MARKERS)],
        }
    looks[REFERENCE] = {"color": "0.35", "linestyle": ":", "marker": "."}
    return looks


def warning_of(checks: pd.DataFrame) -> str:
    """Return the mark of a study's figures from its table of self-checks; empty if none warns."""
    n_warnings = int((checks["result"] == "warn").sum())
    return f"{n_warnings} of {len(checks)} self-checks warn: see checks.csv" if n_warnings else ""


def save(figure: Figure, svg: str | Path, pdf: str | Path, mark: str = "", scope: str = "") -> None:
    """Write a figure as SVG and PDF, without dates, and close it.

    Two lines are added below everything: `scope`, what the figure is about, small and grey, and `mark`, in red.
    """
    margin = _MARK_INCHES * (bool(mark) + bool(scope))
    width, height = figure.get_size_inches()
    above = 0.2 * _MARK_INCHES
    if scope:
        figure.text(1 - 0.05 / width, -above / height, scope, ha="right", va="top", size=6.5, color="0.4", in_layout=False)
        above += _MARK_INCHES
    figure.text(0.5, -above / height, mark, ha="center", va="top", size=8, color="#b00000", in_layout=False)
    whole = Bbox([[0, -margin], [width, height]])
    for path, metadata in ((svg, {"Date": None}), (pdf, {"CreationDate": None})):
        with atomic(path) as temporary:
            figure.savefig(temporary, metadata=metadata, dpi=200, bbox_inches=whole)
    plt.close(figure)
