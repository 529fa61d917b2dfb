from collections.abc import Iterator

import pytest

# what is not a test module itself shall say as much when an assertion fails
pytest.register_assert_rewrite("tests.engine.steered", "tests.engine.twins", "tests.engine.watch")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors: more threads only wait for each other."""
    import torch  # half of the tests below here must do without it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def unhindered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing depends on a clock, no package is asked for its version."""
    from engine import pending, worker

    monkeypatch.setattr(pending, "SECONDS_BETWEEN_FLUSHES", float("inf"))
    monkeypatch.setattr(worker, "_versions", dict)
