import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def job():
    """The module job.py beside this file."""
    spec = importlib.util.spec_from_file_location("training_job", Path(__file__).with_name("job.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
