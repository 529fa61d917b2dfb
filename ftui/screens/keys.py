"""The keys of the main screen; each has an id, so that users can give it another key."""

from textual.binding import Binding


def _key(id_: str, keys: str, action: str, label: str, tooltip: str, show: bool = True) -> Binding:
    return Binding(keys, action, label, show=show, tooltip=tooltip, id=f"main.{id_}")


BINDINGS = [
    _key("start", "s", "start", "Start", "Start a run of the draft"),
    _key("pause", "p", "pause", "Pause", "Pause training, or go on"),
    _key("rate", "r", "rate", "Rate", "Set the learning rate"),
    _key("rewind", "b", "rewind", "Rewind", "Go back to a checkpoint of this run"),
    _key("fork", "B", "fork", "Fork", "Start a run that goes on otherwise from the plot's cursor"),
    _key("evaluate", "v,e", "evaluate", "Evaluate", "Evaluate on the validation data now"),
    _key("checkpoint", "w", "checkpoint", "Checkpoint", "Write a checkpoint now"),
    _key("stop", "x", "stop", "Stop", "Write a checkpoint and end the run"),
    _key("resume", "R", "resume", "Resume", "Start a worker that goes on with this run"),
    _key(
        "norms",
        "A",
        "norms",
        "Auto-RGN",
        "Surgical fine-tuning: all trains, at rates by gradient norms",
    ),
    _key("texts", "T", "texts", "Texts", "What a language model said at each evaluation"),
    _key("baseline", "I", "baseline", "TF-IDF", "What TF-IDF with logistic regression comes to"),
    _key(
        "predictions", "P", "predictions", "Predictions", "Where the model errs, after evaluation"
    ),
    _key("data", "D", "data", "Data", "Look at the data: classes, samples, what is wrong with it"),
    _key("draft", "n", "draft", "Draft", "Leave the run; its config is the new draft"),
    _key("undo", "u", "undo", "Undo", "Take back the last change of the plan", show=False),
    _key("redo", "U", "redo", "Redo", "Do it again", show=False),
    _key("zoom", "z", "zoom", "Zoom", "Give this pane the whole screen, or back"),
    _key("help", "question_mark,f1", "help", "Help", "All keys"),
    *(
        _key(f"pane-{n}", str(n), f"pane({n})", f"Pane {n}", f"Go to pane {n}", show=False)
        for n in range(1, 7)
    ),
    _key("next", "tab", "step(1)", "Next pane", "Go to the next pane", show=False),
    _key("previous", "shift+tab", "step(-1)", "Previous pane", "Go to the pane before", show=False),
]
