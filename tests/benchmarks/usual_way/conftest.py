"""What lets the hidden tests run in the usual way: `submission` is the converted notebook, imported right here."""

import importlib.util
import os

import pytest
import torch


@pytest.fixture(scope="session")
def submission():
    specification = importlib.util.spec_from_file_location("submission", os.environ["SUBMISSION"])
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)
