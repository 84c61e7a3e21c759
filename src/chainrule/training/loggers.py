"""Floor 3, training: consumers of events that write them to TensorBoard or MLflow."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .history import Event


class TensorBoard:
    """Write every number of every epoch as a scalar that TensorBoard shows, under the folder `log_dir`.

    Needs the extra chainrule[tensorboard] (tensorboardX); `writer` may be any object with its `add_scalar` and `close`,
    PyTorch's SummaryWriter for one. Use it in a `with`: what is left in its queue is written at the end of that.
    """

    def __init__(self, log_dir: Any = "runs", *, writer: Any = None):
        self.writer = writer
        if writer is None:
            self.writer = _needed("tensorboardX", "tensorboard").SummaryWriter(str(log_dir), flush_secs=5)

    def __call__(self, event: Event) -> None:
        for name, value in event.numbers().items():
            self.writer.add_scalar(name, value, global_step=event.epoch)

    def close(self) -> None:
        """Write what is left and close the file; without it this happens when Python ends."""
        self.writer.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class MLflow:
    """Log every number of every epoch as a metric of the active MLflow run.

    `to` is the module mlflow (imported when left out), or any object with `log_metrics(numbers, step=…)` or
    `log_metric(name, number, step=…)`.
    """

    def __init__(self, to: Any = None):
        self.to = _needed("mlflow") if to is None else to
        if not hasattr(self.to, "log_metrics") and not hasattr(self.to, "log_metric"):
            raise TypeError(f"MLflow needs an object with log_metrics or log_metric, got {type(self.to).__name__}")

    def __call__(self, event: Event) -> None:
        if hasattr(self.to, "log_metrics"):
            self.to.log_metrics(event.numbers(), step=event.epoch)
        else:
            for name, value in event.numbers().items():
                self.to.log_metric(name, value, step=event.epoch)


def _needed(module: str, extra: str = "") -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        install = f"chainrule[{extra}]" if extra else module
        raise ImportError(f"the package {module} is not installed: pip install '{install}'") from error
