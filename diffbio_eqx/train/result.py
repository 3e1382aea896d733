"""What `fit` returns."""

import dataclasses
import os
from typing import Any

from jaxtyping import PyTree

from diffbio_eqx._checks import require_extra


@dataclasses.dataclass(frozen=True)
class FitResult:
    """The outcome of a fit.

    - `model`: the best model on the validation data (the initial one, if training
      never beat it); without validation, the last one.
    - `history`: lists by name. `step`, `loss`, `grad_norm`, every auxiliary value of
      the loss and, if annealed, `temperature` have one entry a step; `validation_step`
      and `validation` one a validation. `validation_step` counts finished steps, so 0
      is the initial model.
    - `opt_state`: the optimiser's state after the last step.
    """

    model: PyTree
    history: dict[str, list[Any]]
    opt_state: PyTree

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the training curve; write it to `path` if given.

        Returns the matplotlib figure. Raises `ImportError` without the extra `plots`.
        """
        figure_module = require_extra("matplotlib.figure", "plots")
        figure = figure_module.Figure(figsize=(6.0, 4.0), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(self.history["step"], self.history["loss"], lw=1, label="training")
        if self.history.get("validation"):
            steps = self.history["validation_step"]
            values = self.history["validation"]
            axes.plot(steps, values, "o-", ms=3, label="validation")
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.legend(frameon=False)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure
