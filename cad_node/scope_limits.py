"""What a model bears: bounds of acquisition and image quality, which its model.toml may set below [accepts.scope]."""

from pydantic import BaseModel, ConfigDict, Field


class Scope(BaseModel):
    """Beyond a limit the series is refused; beyond a remark's bound it is analysed, and the results say so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lung_ml: float = Field(default=800, ge=0)  # least air inside the body; less is no chest
    lung_end_share: float = Field(default=0.5, gt=0)  # most of the lungs' largest section that the first or last slice may show
    lung_cut_cm2: float = Field(default=150, gt=0)  # most that the image's sides may cut off the lungs
    slice_gap_mm: float = Field(default=2, ge=0)  # most that may lie unseen between two slices
    noise_hu: float = Field(default=150, gt=0)  # greatest SD in soft tissue
    lossy_ratio: float = Field(default=10, ge=1)  # greatest lossy compression

    remark_slice_mm: float = Field(default=2.6, gt=0)  # thicker slices may hide small findings
    remark_noise_hu: float = Field(default=80, gt=0)
    remark_grain_mm: float = Field(default=0.45, gt=0)  # finer grain of the noise is a sharp kernel's
    remark_blood_hu: float = Field(default=110, gt=0)  # brighter blood holds contrast agent
