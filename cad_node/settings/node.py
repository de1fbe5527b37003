"""The node itself: who it is, what it keeps and where, how it works and logs."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from cad_node.settings.section import AETitle, Section
from cad_node.shipped import shipped


class Node(Section):
    ae_title: AETitle = "CAD_NODE"
    """AE title under which the node is called and calls."""
    data_dir: Path = Path("cad_node_data")
    """Folder of the received instances, the results and the embedded database."""
    timezone_offset: Annotated[str, StringConstraints(pattern=r"^[+-]\d{4}$")] = "+0000"
    """Timezone Offset From UTC (0008,0201) of results whose source names none; their times are given in it."""


class Database(Section):
    url: str = ""
    """SQLAlchemy URL, for instance postgresql://user:password@host/cad_node. Empty: SQLite in `node.data_dir`."""


class Models(Section):
    dir: Path = Field(default_factory=lambda: shipped("models"))
    """Folder of model folders: <name>/<version>/model.toml."""
    enabled: tuple[str, ...] = ()
    """Models to run, as name or name/version. Empty: the newest version of each."""


class Worker(Section):
    devices: tuple[str, ...] = ("cpu",)
    """One worker process for each: cpu, cuda:0, cuda:1, tensorrt:0, openvino."""
    threads: int = Field(default=0, ge=0)
    """Threads for inference on a CPU; 0 leaves it to ONNX Runtime."""
    precision: Literal["fp32", "fp16"] = "fp32"
    """fp16 runs the 16-bit graphs of the models that have them: about twice as fast on a GPU, no gain on a CPU."""
    dciodvfy: Literal["auto", "off"] = "auto"
    """Whether results are also checked by dciodvfy of dicom3tools before they are sent: auto does so where it is installed."""

    @field_validator("devices")
    @classmethod
    def _each_once(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(devices)) < len(devices):
            raise ValueError("names a device twice; each has one worker")
        return devices


class Queue(Section):
    lease_s: Annotated[float, Field(gt=0)] = 60
    """A row whose process hasn't said it is alive for so long is given to another."""
    poll_s: Annotated[float, Field(gt=0)] = 1
    """How often the processes look for work."""
    max_attempts: int = Field(default=5, ge=1)
    """A job that failed so often isn't tried again by itself."""
    max_crashes: int = Field(default=2, ge=1)
    """A job that has killed its worker so often is quarantined."""
    backoff_first_s: Annotated[float, Field(gt=0)] = 10
    """Wait after a job's first failure; it doubles."""
    backoff_longest_s: Annotated[float, Field(gt=0)] = 600
    """Longest wait between two attempts of a job."""


class Sender(Section):
    backoff_first_s: Annotated[float, Field(gt=0)] = 10
    """Wait after a delivery's first failure; it doubles."""
    backoff_longest_s: Annotated[float, Field(gt=0)] = 4 * 3600
    """Longest wait between two attempts of a delivery; an unreachable PACS is tried for ever."""
    timeout_s: Annotated[float, Field(gt=0)] = 30
    """Connection, ACSE and DIMSE timeout as SCU."""


class Retention(Section):
    inputs_days: Annotated[float, Field(ge=0)] = 30
    """Received instances are removed so long after their study's last one came; 0 keeps them. Never before the study's jobs have ended and
    their results have been delivered."""
    results_days: Annotated[float, Field(ge=0)] = 90
    """Results are removed so long after they were made; 0 keeps them. Never before they have been delivered, nor where no destination was
    to get them."""
    free_below_mb: Annotated[int, Field(ge=0)] = 2048
    """With less free space than this the oldest of them are removed before their days are over; 0 never does so."""
    free_until_mb: Annotated[int, Field(ge=0)] = 4096
    """Until this much is free."""
    every_s: Annotated[float, Field(gt=0)] = 60
    """How often the sending process looks for what can go."""

    @model_validator(mode="after")
    def _upper_mark_is_above(self) -> Self:
        if self.free_until_mb < self.free_below_mb:
            raise ValueError("free_until_mb is below free_below_mb")
        return self


class Commitment(Section):
    report_for_s: Annotated[float, Field(gt=0)] = 7 * 24 * 3600
    """A peer that asked for storage commitment and can't be told the answer for so long is given up. The waits between two attempts are
    those of [sender]."""


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe event to print."""
    json_lines: bool = False
    """One JSON object a line instead of text."""
