"""LeNet-5 as a judge of generated images: the Fréchet distance of its features.

Dims: N images, M other images, D pixels, F features, C classes.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.evaluators.points import evaluating, points_of
from hwbench.numerics import stream
from hwbench.protocols import (
    Evaluation,
    GenerativeModel,
    HeldOut,
    Metric,
    PicturingEvaluator,
)

Net = Literal["mnist", "digits"]
Count = Annotated[int, Field(ge=1)]
CHUNK = 500  # images at once
POOL = 2  # height and width of the pooling window


class LeNet(nn.Module):
    """LeNet-5 (LeCun, Bottou, Bengio & Haffner, 1998), for square images with values from 0 to 1.

    Convolutions with tanh, average pooling of 2 x 2 pixels after each but the last, a layer of
    features with tanh, and a classifier. Unlike in the paper, each channel is connected to all
    channels below, pooling has no weights, and the classifier is a softmax. Images may come with or
    without their border of zeros.

    Args:
        sides: height and width of an image without and with its border.
        kernels: height and width of each kernel; the last convolution leaves a single pixel.
        channels: number of output channels of each convolution.
        features: number of features F.
        classes: number of classes C.
    """

    def __init__(
        self,
        sides: tuple[int, int] = (28, 32),
        kernels: tuple[int, ...] = (5, 5, 5),
        channels: tuple[int, ...] = (6, 16, 120),
        features: int = 84,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.sides, self.size = sides, features
        self.convolutions = nn.ModuleList(
            nn.Conv2d(below, above, kernel)
            for (below, above), kernel in zip(pairwise([1, *channels]), kernels, strict=True)
        )
        self.dense = nn.Linear(channels[-1], features)
        self.classifier = nn.Linear(features, classes)

    def side_of(self, visible: int) -> int:
        """Return the height and width of images of D pixels.

        Raises:
            ValueError: the images are not square, or the net does not accept their size.
        """
        side = math.isqrt(visible)
        if side * side != visible or side not in self.sides:
            sizes = " or ".join(f"{s} x {s}" for s in dict.fromkeys(self.sides))
            raise ValueError(f"this LeNet sees images of {sizes}; found {visible} pixels")
        return side

    def features(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        """Return the features of images.

        Raises:
            ValueError: the net does not accept images of this size.
        """
        side = self.side_of(x.shape[1])
        a = F.pad(x.view(-1, 1, side, side), [(max(self.sides) - side) // 2] * 4)
        for i, convolution in enumerate(self.convolutions):
            a = convolution(F.avg_pool2d(a, POOL) if i else a).tanh()
        return self.dense(a.flatten(1)).tanh()  # type: ignore[no-any-return]

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Return the logits of the classes."""
        return self.classifier(self.features(x))  # type: ignore[no-any-return]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the parameters in half precision, by name, and `sides`."""
        found = {name: p.detach().half().numpy() for name, p in self.named_parameters()}
        return {**found, "sides": np.array(self.sides)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LeNet:
        """Return the net with these arrays."""
        shapes = [arrays[f"convolutions.{i}.weight"].shape for i in range(len(arrays) // 2 - 2)]
        net = cls(
            (int(arrays["sides"][0]), int(arrays["sides"][1])),
            tuple(shape[-1] for shape in shapes),
            tuple(shape[0] for shape in shapes),
            *arrays["classifier.weight"].shape[::-1],
        )
        state = {k: torch.from_numpy(v).float() for k, v in arrays.items() if k != "sides"}
        net.load_state_dict(state)
        return net


def weights_file(name: Net) -> Path:
    """Return the path of the weights of a net that is part of hwbench."""
    return Path(__file__).with_name(f"lenet-{name}.npz")


def load(name: Net, sha256: str) -> LeNet:
    """Return a net that is part of hwbench.

    Raises:
        ValueError: its weights have another checksum.
    """
    content = weights_file(name).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"the weights of the LeNet {name} have sha256 {found}; expected {sha256}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return LeNet.of_arrays({key: arrays[key] for key in arrays.files})


def frechet_distance(a: Float[Tensor, "n f"], b: Float[Tensor, "m f"]) -> float:
    """Return ‖m_a − m_b‖² + tr(C_a + C_b − 2 (C_a C_b)^½), of means m and covariances C of points.

    The squared distance of two Gaussians (Dowson & Landau, 1982; Heusel et al., 2017), in float64.
    The trace of the root equals that of (C_a^½ C_b C_a^½)^½, which needs only eigenvalues of
    symmetric matrices. The estimate is biased upwards by an amount that falls as 1/n.

    Raises:
        ValueError: there are fewer points than features + 1, so the covariances are singular.
    """
    for points in (a, b):
        if len(points) < a.shape[1] + 1:
            raise ValueError(
                f"a Fréchet distance in {a.shape[1]} features needs {a.shape[1] + 1} points or "
                f"more; found {len(points)}"
            )
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    both = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return float(apart + cov_a.trace() + cov_b.trace() - 2 * both)


class LeNetFID(PicturingEvaluator[GenerativeModel]):
    """`lenet_fid`: the Fréchet distance between LeNet features of model means and of test points.

    The model's images are means of the observed units, without noise. The distance depends on the
    net, on the numbers of images and on how pixels are presented, so it cannot be compared with an
    Inception FID, nor with that of another LeNet. A few of the images are kept.

    Args:
        net: LeNet of MNIST (28 x 28, or 32 x 32 with a border) or of scikit-learn's digits.
        sha256: checksum of its weights.
        samples: number N of images generated by the model.
        points: size M of a random subset of the held-out points; all by default.
        pictures: number of images that are kept.

    Raises:
        ValueError: the weights have another checksum, or there are fewer samples or points than
            features + 1.
    """

    better: Literal["higher", "lower"] = "lower"
    metrics = ("lenet_fid",)
    images = ("data", "generated")

    def __init__(
        self,
        net: Net,
        sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")],
        samples: Count = 10_000,
        points: Count | None = None,
        pictures: Annotated[int, Field(ge=1, le=50)] = 16,
    ) -> None:
        self.net = load(net, sha256)
        self.samples, self.points, self.pictures = samples, points, pictures
        fewest = min(samples, points or samples)
        if fewest < self.net.size + 1:
            raise ValueError(
                f"LeNetFID: {self.net.size} features of the LeNet {net} need "
                f"{self.net.size + 1} samples and points or more (found {fewest})"
            )

    @classmethod
    def tiny(cls) -> LeNetFID:
        """Return an evaluation by a random net of two features, for images of 2 x 2 pixels."""
        checksum = hashlib.sha256(weights_file("digits").read_bytes()).hexdigest()
        out = cls("digits", checksum, samples=30, pictures=3)
        out.net, out.samples = tiny_net(), 20
        return out

    def refuse(self, model: GenerativeModel, shape: tuple[int, ...]) -> None:
        """Reject images of a size that the net does not accept.

        Raises:
            ValueError: the message has the sizes.
        """
        self.net.side_of(math.prod(shape))

    def __call__(
        self,
        model: GenerativeModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `lenet_fid`.

        Raises:
            ValueError: the net does not accept the images' size, or there are too few images.
        """
        split = points_of(points, self.points, seed)
        device = split.values.device
        side = side_of(model, split, self.net)
        net = self.net.to(device)
        index = torch.arange(len(split), device=device)
        real, made, kept = [], [], []
        with evaluating(stream(seed, "evaluate", "lenet"), device):
            for part in index.split(CHUNK):
                real.append(net.features(split.batch(part)))
            for start in range(0, self.samples, CHUNK):
                x = model.sample(min(CHUNK, self.samples - start))
                made.append(net.features(x))
                kept.append(x[: self.pictures])
                progress(min(start + CHUNK, self.samples) / self.samples)
            distance = frechet_distance(torch.cat(made), torch.cat(real))
            few = min(self.pictures, len(split), self.samples)
            shown = torch.linspace(0, len(split) - 1, few, device=device).round().long()
            images = {"data": split.batch(shown), "generated": torch.cat(kept)[:few]}
        return Evaluation(
            {"lenet_fid": Metric(distance, n=len(split), k=0, kind="score")},
            {name: as_bytes(x) for name, x in images.items()},
            diagnostics={"image_height": float(side), "image_width": float(side)},
        )


def tiny_net() -> LeNet:
    """Return a random net of two features for images of 2 x 2 pixels, always the same one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LeNet(sides=(2, 4), kernels=(3, 1), channels=(3, 4), features=2, classes=2)


def side_of(model: GenerativeModel, split: HeldOut, net: LeNet) -> int:
    """Return the height and width of a model's images.

    Raises:
        ValueError: the net does not accept this size; the message names the model.
    """
    try:
        return net.side_of(split.visible)
    except ValueError as error:
        raise ValueError(f"images of this {type(model).__name__}: {error}") from None


def as_bytes(x: Float[Tensor, "n d"]) -> np.ndarray:
    """Return images with values from 0 to 1 as bytes."""
    return (255 * x.clamp(0, 1)).round().to(torch.uint8).cpu().numpy()
