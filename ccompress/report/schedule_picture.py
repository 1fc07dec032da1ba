"""The figure of the two cyclical schedules, drawn as in the source."""

import numpy as np
from matplotlib.figure import Figure

from ccompress.schedules.functions import CALRSchedule, CLRSchedule

# With these values, a few cycles show a whole period, including the return to the highest peak.
_BOUNDS = {"lower": 0.0001, "upper": 0.002, "step_size": 1.0}
_DECAY = 0.5
_STEPS_PER_EPOCH = 100
_EPOCHS = 14


def figure() -> Figure:
    """Learning rate against step for CLR and CALR, with equal bounds and step size."""
    steps = np.arange(_EPOCHS * _STEPS_PER_EPOCH + 1)
    drawn = Figure(figsize=(7.0, 2.1), layout="constrained")
    axes = drawn.subplots(1, 2, sharey=True)
    pictures = [
        ("clr", CLRSchedule(**_BOUNDS)),
        (f"calr (decay {_DECAY:g})", CALRSchedule(**_BOUNDS, decay=_DECAY)),
    ]
    for ax, (name, schedule) in zip(axes, pictures, strict=True):
        rates = [schedule.learning_rate(int(step), _STEPS_PER_EPOCH) for step in steps]
        ax.plot(steps, 1000 * np.array(rates), color="#0072B2")
        for bound in ("lower", "upper"):
            ax.axhline(1000 * _BOUNDS[bound], color="0.4", lw=0.7, ls=(0, (1, 2)))
            ax.annotate(
                bound,
                (1.0, 1000 * _BOUNDS[bound]),
                xycoords=ax.get_yaxis_transform(),
                xytext=(2, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color="0.35",
            )
        ax.set_title(name, loc="left")
        ax.set_xlim(0, steps[-1])
        ax.set_ylim(0, 2.15)
    drawn.supxlabel("step", fontsize=8.5)
    axes[0].set_ylabel("learning rate (10⁻³)")
    return drawn
