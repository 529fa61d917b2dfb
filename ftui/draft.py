"""A run being put together: its config, where model and data may be missing yet."""

from collections.abc import Iterable

from msgspec.structs import replace

from engine.contract import toml
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.plan import effective, resolve, trainable_parameters
from engine.contract.planfile import Plan
from engine.contract.rules import Rule
from engine.contract.tasks import metrics_of
from engine.contract.training_tables import EarlyStoppingConfig
from engine.contract.tree import ModelInfo
from ftui.history import History
from ftui.settings import value_at

UNSET = ""
"""What stands for a model or a data folder that was not chosen yet."""
_EMPTY = Config("image-classification", ModelConfig(name=UNSET), DataConfig(path=UNSET))
_STAND_INS = {"model.name": "torchvision/resnet18", "data.path": "data"}


class Draft:
    """The config of the next run, and the undo history of its plan."""

    def __init__(self, config: Config | None = None, model: ModelInfo | None = None) -> None:
        self.config = config or _EMPTY
        self.model = model
        self.classes: int | None = None
        """That the head of `model` is for, where that was told by the data's folders."""
        self.problem = ""
        """Why there is no `model`, in a sentence, where it was looked up in vain."""
        self.history = History()
        self._see()

    @property
    def text(self) -> str:
        """The `config.toml` that runs."""
        return toml.dump(self.config)

    @property
    def missing(self) -> str:
        """A sentence that says what must be chosen before it can run; empty where nothing."""
        if self.config.model.name == UNSET:
            return "Choose a model first (1)."
        return "" if self.config.data.path != UNSET else "Set data.path first (6)."

    @property
    def idle(self) -> str:
        """A sentence where nothing would train; empty otherwise, or where nobody knows yet."""
        if self.model is None:
            return ""
        rules = effective(self.config.trainable, self.model)
        try:
            trained = trainable_parameters(resolve(rules, self.model), self.model)
        except UserError as error:  # a rule that is not for the model
            return str(error)
        return "" if trained else "Everything is frozen: thaw what is to train (2)."

    def set_model(self, model: ModelInfo, weights: str = "DEFAULT", task: str = "") -> None:
        """Choose the model; another one starts with the default plan.

        A task other than the draft's takes its place, with a metric that it measures.
        """
        another = model.name != self.config.model.name
        chosen = ModelConfig(name=model.name, weights=weights)
        self.config = replace(self.config, model=chosen)
        if task not in ("", self.config.task):
            self.config = _for_task(self.config, task)
        self.model, self.problem = model, ""
        if another:
            self._begin_plan()
        self._see()

    def set_rules(self, rules: Iterable[Rule]) -> None:
        """Replace the plan that it begins with; its stages stay."""
        self.set_plan(Plan(list(rules), self.config.stages))

    def set_plan(self, plan: Plan) -> None:
        """Replace the plan and its stages."""
        self.config = replace(self.config, trainable=plan.trainable, stages=plan.stages)
        self._see()

    def set_field(self, key: str, text: str) -> str | None:
        """Set a dotted key from what a person typed; the sentence that says what is wrong, or None.

        `text` is read as a TOML value where that fits the key, and as plain text otherwise.
        """
        stood_in = [k for k in _STAND_INS if value_at(self.config, k) == UNSET and k != key]
        overrides = [f"{k}={_STAND_INS[k]}" for k in stood_in]
        try:
            config = toml.parse(self.text, overrides=[*overrides, f"{key}={text}"])
        except UserError as error:
            return str(error)
        if "model.name" in stood_in:
            config = replace(config, model=replace(config.model, name=UNSET))
        if "data.path" in stood_in:
            config = replace(config, data=replace(config.data, path=UNSET))
        if _tree_of(config) != _tree_of(self.config):
            self.model, self.problem = None, ""  # the tree is another one: it is looked up anew
        if config.task != self.config.task:
            config = _for_task(config, config.task)
        another = config.model.name != self.config.model.name
        self.config = config
        if another:
            self._begin_plan()
        return None

    def _begin_plan(self) -> None:
        """Start with the default plan: the one there was is of another model."""
        self.config = replace(self.config, trainable=[], stages=[])
        self.history = History()

    def _see(self) -> None:
        if self.model is not None:
            rules = effective(self.config.trainable, self.model)
            self.history.see(Plan(rules, self.config.stages))


def _tree_of(config: Config) -> tuple[object, ...]:
    """What the model's tree depends on."""
    data = config.data.path if config.task == "image-classification" else ""
    return config.model, config.task, config.text.pooling, data


def _for_task(config: Config, task: str) -> Config:
    """With a metric that the task measures."""
    stopping = config.early_stopping
    if stopping.metric not in metrics_of(task):
        stopping = replace(stopping, metric=EarlyStoppingConfig().metric)
    return replace(config, task=task, early_stopping=stopping)
