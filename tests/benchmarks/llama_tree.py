"""A Llama of 7 billion parameters from its config.json alone: from the question to its tree on the
screen of the app, and the memory that it takes in the process that knows torch.

`python -m tests.benchmarks.llama_tree` prints both; under a second is wanted once torch is warm.
"""

import asyncio
import tempfile
import time
from pathlib import Path

import psutil

from engine.runs.inspect import Inspector
from ftui.app import FtuiApp
from ftui.widgets.module_tree import ModulePane
from tests.ui.scripted import ScriptedInspector

SIZE = (120, 40)
ROUNDS = 3
CONFIG = """{
  "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32000,
  "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
  "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096
}"""


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(CONFIG)
        inspector = Inspector()
        began = time.perf_counter()
        await inspector.describe("torchvision/resnet18", "none")
        print(f"torch warm after           {time.perf_counter() - began:.2f} s")
        for round_ in range(ROUNDS):
            await _once(inspector, folder, round_)
        await inspector.close()


async def _once(inspector: Inspector, folder: str, round_: int) -> None:
    app = FtuiApp(Path(folder, "runs"), inspector=ScriptedInspector())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert inspector._models._child
        helper = psutil.Process(inspector._models._child.process.pid)
        before, began = helper.memory_info().rss, time.perf_counter()
        model = await inspector.describe(folder, "none", task="causal-lm")
        told = time.perf_counter() - began
        app.workspace.set_model(model, "none", "causal-lm")
        app.main.action_pane(2)
        while not app.main.query_one(ModulePane).tree_table.modules.by_path.get("model.layers"):
            await pilot.pause()
        await pilot.pause()
        shown = time.perf_counter() - began
    grown = (helper.memory_info().rss - before) / 2**20
    first = " (Transformers imported)" if round_ == 0 else ""
    print(
        f"{model.total_parameters:,} parameters: told in {told:.2f} s, on the screen after "
        f"{shown:.2f} s, memory {grown:+.0f} MiB{first}"
    )


if __name__ == "__main__":
    asyncio.run(main())
