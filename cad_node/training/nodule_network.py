"""The lung nodule patch classifier: a plain CNN of three convolution and pooling stages, windowing included."""

from typing import cast

from torch import Tensor, nn

WINDOW_HU = (-1000.0, 400.0)


class NoduleNetwork(nn.Module):
    """Patches (batch, 1, 50, 50) HU -> logits (batch,).

    Three stages of 32, 64 and 128 filters, each two 3×3 convolutions with batch normalisation and a 2×2 average pooling;
    a dense layer of 128; one output.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(_stage(1, 32), _stage(32, 64), _stage(64, 128))  # 50 -> 25 -> 12 -> 6 pixels
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(128 * 6 * 6, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 1),
        )

    def forward(self, patches: Tensor) -> Tensor:
        low, high = WINDOW_HU
        windowed = (patches.clamp(low, high) - low) / (high - low)
        return cast(Tensor, self.head(self.stages(windowed))).squeeze(1)


def _stage(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.AvgPool2d(2),
    )
