"""The nodule patch classifier: a CNN whose logit is a sum over places, so that it can be shown exactly where it comes from."""

from itertools import pairwise

from torch import Tensor, nn

WINDOW_HU = (-1000.0, 400.0)
STRIDE = 8  # of the features against the patch
THIN, MIDDLE, WIDE, DEEP = 24, 48, 96, 128


class NoduleNetwork(nn.Module):
    """Patches (batch, 1, P, P) HU -> "logits" (batch,) and "terms" (batch, P // 8, P // 8), the logit's share of each place.

    Four stages of two 3×3 convolutions with batch normalisation (24, 48, 96 and 128 filters), 2×2 pooling between them.
    Then logit = bias + sum over places p of weight[p] · features[p]: a class activation map that is exact (after Zhou and others, Learning
    deep features for discriminative localization, 2016, with weights for each place, since the candidate is at the centre).
    What a patch has beyond a multiple of 8 pixels is cropped at its rim, so that mirror images stay mirror images in the features.
    """

    def __init__(self, size_px: int) -> None:
        super().__init__()
        self.rim = size_px % STRIDE // 2
        self.stages = nn.Sequential(
            *_layers(1, 16, THIN),
            nn.AvgPool2d(2),
            *_layers(THIN, MIDDLE, MIDDLE),
            nn.AvgPool2d(2),
            *_layers(MIDDLE, WIDE, WIDE),
            nn.MaxPool2d(2),
            *_layers(WIDE, DEEP, DEEP),
            nn.Dropout(0.5),
        )
        self.weight = nn.Linear(DEEP * (size_px // STRIDE) ** 2, 1)

    def forward(self, patches: Tensor) -> dict[str, Tensor]:
        low, high = WINDOW_HU
        cropped = patches[:, :, self.rim : patches.shape[2] - self.rim, self.rim : patches.shape[3] - self.rim]
        features = self.stages((cropped.clamp(low, high) - low) / (high - low))
        terms = (features * self.weight.weight.view(features.shape[1:])).sum(1)
        return {"logits": terms.sum((1, 2)) + self.weight.bias, "terms": terms}


def _layers(*channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for taken, given in pairwise(channels):
        layers += [nn.Conv2d(taken, given, 3, padding=1, bias=False), nn.BatchNorm2d(given), nn.ReLU()]
    return layers
