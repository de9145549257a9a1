"""Fixtures that several files of unit tests share."""

from pathlib import Path

import pytest
import yaml

from workflow_scripts.em.files import read_json


@pytest.fixture
def constitution(tmp_path):
    """Path of a constitution; keywords replace its keys, None removes one."""

    def write(**changed) -> Path:
        found = {
            "name": "test",
            "system": "Say {principles}!",
            "principles": ["I am careful.", "I am kind."],
            "prompts": ["Why?", "How do I get over a splinter?", "And money?"],
            "introspection": ["Who are you?", "What do you want?"],
        } | changed
        path = tmp_path / "constitution.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in found.items() if value is not None}))
        return path

    return write


@pytest.fixture(scope="module")
def one_thread():
    """Threads that fight over the cores are slower than one, and sums depend on their number."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def record(model_record, one_thread):
    """The record of the tests' small model."""
    return read_json(model_record)


@pytest.fixture(scope="module")
def generator(record):
    """That model, ready to answer."""
    from workflow_scripts.em.backends.generate_transformers import Generator

    return Generator(record, None, "float32")


@pytest.fixture(scope="session")
def engine_process():
    """The server of `server`, which lives as long as the tests."""
    from tests.unit.engine_server import FakeServer

    return FakeServer()


@pytest.fixture
def server(engine_process):
    """A small server that speaks vLLM's HTTP and has no faults yet."""
    engine_process.reset()
    engine_process.fault, engine_process.end, engine_process.ids = lambda path, body: None, (), ()
    return engine_process


@pytest.fixture
def study(server, model_record, tmp_path):
    """Checkpoints to be asked on `server`."""
    from tests.unit.engine_server import Study

    return Study(server, model_record, tmp_path)
