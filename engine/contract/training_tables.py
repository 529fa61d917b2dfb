"""Tables of a config about training: how weights move, what is saved, and when it ends."""

from typing import Annotated, Literal

from msgspec import Meta

from engine.contract.table import Auto, Table, one_of
from engine.contract.tasks import METRICS

HIGHEST_LR = 1000.0
Sampling = Literal["natural", "balanced"]


class OptimizerConfig(Table, frozen=True):
    name: Annotated[Literal["sgd", "adamw"], Meta(description="SGD with momentum, or AdamW.")] = (
        "sgd"
    )
    lr: Annotated[
        float,
        Meta(
            gt=0, le=HIGHEST_LR, description="Base learning rate; a rule's lr_scale multiplies it."
        ),
    ] = 0.01
    momentum: Annotated[float, Meta(ge=0, lt=1, description="Momentum of SGD.")] = 0.9
    nesterov: Annotated[bool, Meta(description="Nesterov's form of the momentum.")] = False
    beta1: Annotated[float, Meta(ge=0, lt=1, description="AdamW: decay of the first moment.")] = 0.9
    beta2: Annotated[float, Meta(ge=0, lt=1, description="AdamW: decay of the second moment.")] = (
        0.999
    )
    weight_decay: Annotated[
        float,
        Meta(ge=0, le=1000, description="Weight decay; never applied to norms and biases."),
    ] = 1e-4
    frozen_moments: Annotated[
        Literal["reset", "keep"],
        Meta(description="What becomes of the momentum of a parameter that is frozen while live."),
    ] = "reset"


class ScheduleConfig(Table, frozen=True):
    name: Annotated[
        Literal["constant", "cosine"],
        Meta(description="How the rate falls: not at all, or along half a cosine to end_factor."),
    ] = "cosine"
    warmup_steps: Annotated[
        int, Meta(ge=0, le=10**9, description="Steps over which the rate first rises linearly.")
    ] = 0
    end_factor: Annotated[
        float, Meta(ge=0, le=1, description="Where the cosine ends, as a share of the base rate.")
    ] = 0.0


class TrainingConfig(Table, frozen=True):
    epochs: Annotated[int, Meta(ge=1, le=10**6, description="Passes over the training data.")] = 10
    device: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
            description="Where to train: auto, cpu, cuda:N or mps.",
            extra={"expected": '"auto", "cpu", "cuda:N" or "mps"'},
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Meta(
            description="Autocast type; auto measures fp32 and, where the device has it, bf16 "
            "before the first step, and keeps what is faster."
        ),
    ] = "auto"
    channels_last: Annotated[
        bool | Auto,
        Meta(
            description="Keeps pictures and the weights of convolutions in memory with channels "
            "last, which many kernels prefer; auto measures both before the first step.",
            extra={"expected": 'true, false or "auto"', "choices": ("auto", "true", "false")},
        ),
    ] = "auto"
    compile: Annotated[
        bool,
        Meta(
            description="torch.compile for training steps: some minutes before the first step and "
            "after each change of the plan, for quicker ones afterwards. On a CPU it needs a C++ "
            "compiler."
        ),
    ] = False
    recompute: Annotated[
        bool,
        Meta(
            description="Activation checkpointing: a backward pass computes each block once more "
            "instead of keeping what is inside it. Less memory, about a third more time, the same "
            "results."
        ),
    ] = False
    seed: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="Seed of the head, the order and augmentation.")
    ] = 0
    accumulate: Annotated[
        int, Meta(ge=1, le=65536, description="Batches whose gradients make one step.")
    ] = 1
    clip_norm: Annotated[
        float, Meta(ge=0, le=1e9, description="Gradients are clipped to this norm; 0 turns it off.")
    ] = 0.0
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Share of each target spread over all classes.")
    ] = 0.0
    auto_rgn: Annotated[
        bool,
        Meta(
            description="true: before the first step one pass over the data measures the relative "
            "gradient norm of each block, which becomes its learning-rate multiplier. Everything "
            "trains then, whatever the plan says (surgical fine-tuning)."
        ),
    ] = False
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | Auto,
        Meta(
            description="CPU threads of the training process; 'auto' is torch's own choice, or one "
            "where that was measured to be faster.",
            extra={"expected": 'a whole number from 1 to 1024, or "auto"'},
        ),
    ] = "auto"
    cache: Annotated[
        str,
        Meta(
            pattern=r"^(auto|off|views:[1-9]\d{0,2})$",
            description="auto: what is frozen before everything that trains is computed once for "
            "each sample where that is exact, and remembered. views:4 remembers four views of each "
            "sample where augmentation makes every one another, and draws one of them each epoch.",
            extra={
                "expected": '"auto", "off" or "views:" and a number up to 999, such as "views:4"'
            },
        ),
    ] = "auto"
    cache_precision: Annotated[
        Literal["exact", "fp16", "bf16"],
        Meta(
            description="How what is remembered of training data is stored: as it was computed, or "
            "in half of the room and no longer bit for bit the same."
        ),
    ] = "exact"


class RegularisationConfig(Table, frozen=True):
    l2_sp: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="L2-SP: pulls each pretrained parameter to where it started, by this "
            "factor, instead of to zero; the new head keeps the weight decay. 0 turns it off.",
        ),
    ] = 0.0
    ema: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Decay of an exponential moving average of the weights, such as 0.999, "
            "which is evaluated beside them; 0 turns it off.",
        ),
    ] = 0.0
    wise_ft: Annotated[
        bool,
        Meta(
            description="WiSE-FT: at the end, true also evaluates blends of the tuned weights with "
            "those it started from, and keeps the best."
        ),
    ] = False
    mixup: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Alpha of mixup, which trains on blends of two pictures; 0 turns it off. "
            "With CutMix on too, each batch gets one of the two.",
        ),
    ] = 0.0
    cutmix: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Alpha of CutMix, which pastes a part of another picture into each; 0 "
            "turns it off.",
        ),
    ] = 0.0
    dropout: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | Auto,
        Meta(
            description="Share of values that every dropout layer of the model zeroes; 'auto' "
            "keeps the model's own.",
            extra={"expected": 'a number at least 0 and below 1, or "auto"'},
        ),
    ] = "auto"
    drop_path: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | Auto,
        Meta(
            description="Stochastic depth: how often the last residual block is skipped, earlier "
            "ones linearly less; 'auto' keeps the model's own.",
            extra={"expected": 'a number at least 0 and below 1, or "auto"'},
        ),
    ] = "auto"
    class_weights: Annotated[
        Literal["none", "balanced"],
        Meta(description="balanced: the rarer a class, the more its pictures count in training."),
    ] = "none"
    sampling: Annotated[
        Sampling,
        Meta(
            description="natural: each picture once an epoch; balanced: as many, drawn with "
            "replacement, each class equally likely."
        ),
    ] = "natural"

    @property
    def needs_start(self) -> bool:
        """Whether a run will go back to the weights that it began with."""
        return self.l2_sp > 0 or self.wise_ft


class EarlyStoppingConfig(Table, frozen=True):
    metric: Annotated[
        str, one_of(METRICS, "What 'best' means, for stopping and for the best checkpoint.")
    ] = "val_loss"
    patience: Annotated[
        int,
        Meta(
            ge=0, le=10**6, description="Epochs without a better value before stopping; 0: never."
        ),
    ] = 0
    min_delta: Annotated[
        float, Meta(ge=0, le=1e6, description="How much better a value must be to count.")
    ] = 0.0
    restore_best: Annotated[
        bool,
        Meta(
            description="true: the finished model has the weights of the best evaluation; false: "
            "those of the last step."
        ),
    ] = True


class GuardConfig(Table, frozen=True):
    rollbacks: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="How often a run may go back to its last checkpoint, at a lower rate, "
            "after a loss that is not finite or a spike; 0 turns the guard off.",
        ),
    ] = 3
    spike: Annotated[
        float,
        Meta(
            ge=0,
            le=1e6,
            description="A loss is a spike where it is over the recent median by so many times "
            "the usual deviation, such as 20, once 20 losses are known; 0: only losses that are "
            "not finite count.",
        ),
    ] = 0.0
    lr_factor: Annotated[
        float, Meta(gt=0, le=1, description="What each rollback multiplies the base rate by.")
    ] = 0.5


class CheckpointConfig(Table, frozen=True):
    keep_last: Annotated[
        int, Meta(ge=1, le=10**6, description="How many of the newest checkpoints are kept.")
    ] = 2
    every_steps: Annotated[
        int,
        Meta(ge=0, le=10**9, description="Save every so many steps; 0 saves at epoch ends only."),
    ] = 0
