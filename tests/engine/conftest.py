"""What several tests of the engine need."""

import hashlib
import sys
from types import ModuleType

import pytest

from chainrule.engine.compiled import Kernel


@pytest.fixture(scope="session")
def kernel_of():
    """A kernel of a test's own, from its module's text, its name there and what it is given."""

    def make(text, name, given):
        module_name = f"test_{hashlib.sha256(text.encode()).hexdigest()}"  # what it is compiled to is kept by this name
        module = sys.modules[module_name] = ModuleType(module_name)
        exec(text, module.__dict__)
        return Kernel(module_name, name, given)

    return make
