"""A plain convolutional network."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import nn

from clxai.networks.base import network
from clxai.networks.blocks import SpatialMean, initialise


@network("cnn", layers=("conv1", "conv2", "conv3", "conv4"), smallest=16, lrp="sequential", options={"width": 32})
def cnn(options: Mapping[str, Any], channels: int) -> nn.Module:
    """Four 3x3 convolutions, max-pool between them; `width` channels in the first, 8 times as many features.

    For small grey images and spectrograms.
    """
    widths = [channels, *(options["width"] * 2**number for number in range(4))]
    body = nn.Sequential()
    for number, (n_in, n_out) in enumerate(pairwise(widths), start=1):
        layer = nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU())
        body.add_module(f"conv{number}", layer)
        if number < 4:
            body.add_module(f"pool{number}", nn.MaxPool2d(2))
    body.add_module("mean", SpatialMean())
    initialise(body)
    return body
