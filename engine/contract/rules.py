"""What is to train, as text: the rules of a freeze plan, and the stages that add to it."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.contract.table import Table


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of the freeze plan; the last rule that matches a parameter decides all of it."""

    match: Annotated[
        str,
        Meta(
            min_length=1,
            description="A glob over module and parameter paths ('layer4', '*.bias'), which takes "
            "all that lies below a module; 'type:' and a glob over module types; 're:' and a "
            "regular expression that fits a whole path; or 'last:2', the head and the last two "
            "blocks.",
        ),
    ]
    train: Annotated[bool, Meta(description="true trains what matches, false freezes it.")] = True
    lr_scale: Annotated[
        float, Meta(ge=0, le=1e6, description="Multiplies the learning rate of what matches.")
    ] = 1.0
    weight_decay: Annotated[
        Annotated[float, Meta(ge=0, le=1000)] | None,
        Meta(
            description="Weight decay of what matches, norms and biases included; left out, the "
            "optimizer's, which spares those.",
            extra={"expected": "a number from 0 to 1000"},
        ),
    ] = None
    reinit: Annotated[
        bool,
        Meta(
            description="true draws new weights for what matches, once in a run, before it is "
            "trained; whole modules only."
        ),
    ] = False
    lora: Annotated[
        int,
        Meta(
            ge=0,
            le=4096,
            description="Rank of a LoRA adapter for each Linear and Conv2d layer that matches: it "
            "trains and the layer's own parameters stay; 0 is none.",
        ),
    ] = 0
    dora: Annotated[
        bool, Meta(description="true makes the adapters DoRA: magnitudes are trained, too.")
    ] = False


class Stage(Table, frozen=True):
    """Rules that join the plan later in the run."""

    after: Annotated[
        str,
        Meta(
            pattern=r"^(\d{1,9} (epochs?|steps?)|stalled \d{1,6})$",
            description="When the stage begins, counted from the beginning of the one before, "
            "or from when the stages were changed live: '2 epochs', '500 steps', or 'stalled 2', "
            "after two evaluations in a row that were no better.",
            extra={"expected": '"N epochs", "N steps" or "stalled N"'},
        ),
    ]
    trainable: Annotated[
        list[Rule],
        Meta(
            min_length=1,
            description="Rules that come on top of the plan in force then, live edits included.",
        ),
    ]
