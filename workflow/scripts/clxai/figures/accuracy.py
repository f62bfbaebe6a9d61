"""How well heads classify, and how well they are calibrated."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import legend, name_ticks, offsets
from clxai.figures.style import PAGE_WIDTH, look_of


@figure("accuracy", tables=["heads"], produces="aggregated", over=["image", "seed"])
def accuracy(study: Study) -> Figure:
    """Test accuracy (left) and expected calibration error, raw (middle) and at the temperature fitted on noisy validation
    images (right), by head and model. Dots are seeds ({n_seeds}), open marks their mean. A contrastively trained model has no
    softmax head.
    """
    sheet, axes = plt.subplots(1, 3, figsize=(PAGE_WIDTH, 2.7))
    test = study.tables["heads"][study.tables["heads"]["split"] == "test"]
    looks = look_of(study.models)
    panels = (
        ("accuracy", "test accuracy (%)", 100),
        ("ece", "ECE, raw (%)", 100),
        ("ece_matched", "ECE, fitted temperature (%)", 100),
    )
    for axis, (column, label, factor) in zip(axes, panels, strict=True):
        for offset, model in zip(offsets(len(study.models)), study.models, strict=True):
            rows = test[test["model"] == model]
            for place, head in enumerate(study.heads):
                values = factor * rows.loc[rows["head"] == head, column].to_numpy()
                if len(values):
                    look = {"color": looks[model]["color"], "marker": looks[model]["marker"]}
                    axis.plot(np.full(len(values), place + offset), values, ".", color=look["color"], ms=3, alpha=0.6)
                    axis.plot(place + offset, values.mean(), ls="", ms=5, mfc="none", mew=1.3, **look)
        axis.set(ylabel=label)
        name_ticks(axis, study.heads)
        if column != "accuracy":
            axis.set_ylim(bottom=0)
    legend(sheet, looks, study.models, line=False)
    return sheet
