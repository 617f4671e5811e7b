"""The settings of a training run, as a recipe tells them. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from humanverse.errors import UsageError

BRANCHES = ("rgb", "depth", "normal")
MAPS = ("pose", "depth", "normal")


@dataclass(frozen=True)
class Data:
    """What is read. The loader's own settings are told in humanverse/load/loader.py."""

    image_size: int = 512
    crop: Literal["centre", "random"] = "random"
    widest: float = 1.0
    """Aspect of the widest and highest pictures: beyond 1 a batch comes at one of several sizes,
    all of about `image_size` squared, its samples those of such an aspect.
    """
    split: str | None = None
    """Of the dataset's, such as train; None reads all."""
    workers: int = 4
    """Threads that read and decode."""


@dataclass(frozen=True)
class Network:
    """The transformer's sizes."""

    branches: tuple[str, ...] = BRANCHES
    """What is learned; the first must be rgb."""
    maps: tuple[str, ...] = ("pose",)
    """Maps that it is told: of the pose, and in refining of depth and normals too."""
    width: int = 768
    heads: int = 12
    experts: int = 2
    """Blocks that a branch has for itself before the trunk, and as many behind it."""
    trunk: int = 8
    """Blocks that all share."""
    patch: int = 2
    """Side of a token, in latents."""
    across: float = 32.0
    """How far apart, in turns of its rotary places, the ends of a picture's longer side are."""


@dataclass(frozen=True)
class Method:
    """What is learned of noise: see humanverse/train/flow.py."""

    kind: Literal["flow", "diffusion"] = "flow"
    predicts: Literal["velocity", "picture"] = "velocity"
    """picture: for patches of more numbers than the network is wide, such as pixels'."""
    mean: float = 0.0
    std: float = 1.0
    shift: float = 1.0
    """These three are the flow's."""
    independent: float = 0.0
    """How often each branch has a time of its own."""


@dataclass(frozen=True)
class Conditions:
    """What the network is told, and how often each is kept from it."""

    autoencoder: str = "pixels"
    """pixels, taef2, or a folder with an AutoencoderKL or AutoencoderTiny: see docs/encoding.md."""
    text: str = "bytes"
    """bytes, or a folder with a CLIP or T5 and its tokeniser."""
    text_length: int = 128
    """Bytes or, of a folder's, tokens; CLIP's take no more than 77."""
    text_width: int = 128
    """Of the encoder that is trained along; the others have their own."""
    text_layer: Literal["last", "penultimate"] = "last"
    """Of a folder's, which is read."""
    drop_text: float = 0.15
    drop_size: float = 0.15
    drop_maps: float = 0.15
    """Of each map on its own."""


@dataclass(frozen=True)
class Optim:
    """Steps and their size."""

    steps: int = 100_000
    batch_size: int = 256
    """Samples of a step, over all ranks and accumulated parts."""
    seed: int = 0
    accumulate: int = 1
    """Parts that a step's samples come in, one after the other."""
    rate: float = 1e-4
    betas: tuple[float, ...] = (0.9, 0.95)
    decay: float = 0.0
    warmup: int = 1000
    """Steps over which the rate grows to its size."""
    cooldown: int = 0
    """Last steps, over which it falls to nothing. Between them it stays."""
    clip: float = 1.0
    """Length to which a longer gradient is cut."""
    ema: float = 0.9999
    """How much of the averaged weights a step keeps; less in the first steps."""


@dataclass(frozen=True)
class Run:
    """How and where it runs. Nothing of this changes what is learned, but for rounding."""

    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 on a GPU, fp32 on the CPU. Weights and sums are fp32 in both."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: a whole copy of the network on each rank, or a part (FSDP2)."""
    compile: bool = False
    log_every: int = 10
    save_every: int = 1000
    keep: int = 2
    """Checkpoints; older ones are removed."""
    sample_every: int = 1000
    """Steps between grids of samples; 0 makes none."""
    samples: int = 4
    sample_steps: int = 30
    guidance: float = 4.0
    tracker: Literal["none", "tensorboard", "wandb"] = "none"


@dataclass(frozen=True)
class Training:
    """A recipe of `humanverse train` or `humanverse refine`."""

    name: str
    stage: Literal["base", "refiner"] = "base"
    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    method: Method = field(default_factory=Method)
    conditions: Conditions = field(default_factory=Conditions)
    optim: Optim = field(default_factory=Optim)
    run: Run = field(default_factory=Run)

    def sections(self) -> dict[str, Any]:
        """Everything `--set` can reach, by name."""
        names = ("data", "network", "method", "conditions", "optim", "run")
        return {name: getattr(self, name) for name in names}

    def with_section(self, name: str, section: Any) -> Training:
        """With another section of that name."""
        return replace(self, **{name: section})

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)

    @classmethod
    def of_json(cls, told: dict[str, Any]) -> Training:
        """Out of `to_json`'s, after a way through a file."""
        kinds = {"data": Data, "network": Network, "method": Method}
        kinds |= {"conditions": Conditions, "optim": Optim, "run": Run}
        parts = {name: kind(**_tuples(told[name])) for name, kind in kinds.items()}
        return cls(told["name"], told["stage"], **parts)

    def check(self) -> None:
        """See that a network can be made and trained so.

        Raises:
            UsageError: it cannot, and why.
        """
        net, optim = self.network, self.optim
        for told, wrong in (
            ("network.branches: rgb comes first", net.branches[:1] != ("rgb",)),
            (f"network.branches: choose of {', '.join(BRANCHES)}", _odd(net.branches, BRANCHES)),
            ("a refiner learns network.branches=rgb alone",
             self.stage == "refiner" and net.branches != ("rgb",)),
            (f"network.maps: choose of {', '.join(MAPS)}", _odd(net.maps, MAPS)),
            ("network.heads: width / heads must be a multiple of 4", bool(_rest(net))),
            ("network.patch: a power of 2 is wanted", net.patch.bit_count() != 1 or net.patch < 1),
            ("network.trunk: 1 or more", net.trunk < 1 or net.experts < 0),
            ("optim: steps, batch_size and accumulate are 1 or more",
             min(optim.steps, optim.batch_size, optim.accumulate) < 1),
            ("optim.batch_size: a multiple of accumulate is wanted",
             optim.batch_size % max(optim.accumulate, 1) > 0),
            ("optim.betas: two numbers below 1", len(optim.betas) != 2 or max(optim.betas) >= 1),
            ("optim.ema: 0 to 1, without 1", not 0 <= optim.ema < 1),
            ("run: keep and log_every are 1 or more", min(self.run.keep, self.run.log_every) < 1),
            ("run.save_every: 1 or more", self.run.save_every < 1),
        ):  # fmt: skip
            if wrong:
                raise UsageError(f"recipe {self.name}: {told}")


def _odd(names: tuple[str, ...], known: tuple[str, ...]) -> bool:
    return len(set(names)) < len(names) or not set(names) <= set(known)


def _rest(net: Network) -> int:
    return 1 if net.heads < 1 or net.width % net.heads else net.width // net.heads % 4


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
