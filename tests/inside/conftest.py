"""Models of every family with their oracles, and the models that are trained or made here."""

from pathlib import Path

import pytest
from helpers import begun, oracles
from helpers.oracles import Oracle

from liuli import load


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory) -> Path:
    """A folder with a random model of every family, made when it is first asked for."""
    root = tmp_path_factory.mktemp("families")
    for name in oracles.NAMES:
        oracles.save_family(name, root / name)
    return root


@pytest.fixture(scope="session")
def all_oracles(family_folder) -> dict[str, Oracle]:
    return {name: Oracle.of_folder(family_folder / name) for name in oracles.NAMES}


@pytest.fixture(params=[*oracles.NAMES, "stories260k"])
def oracle(request, all_oracles) -> Oracle:
    """A model of each family, and a trained one."""
    if request.param == "stories260k":
        return request.getfixturevalue("trained")
    return all_oracles[request.param]


@pytest.fixture(scope="session")
def trained(stories) -> Oracle:
    return Oracle.of_folder(stories)


@pytest.fixture(scope="session")
def begun_folder(tmp_path_factory) -> Path:
    return begun.make(tmp_path_factory.mktemp("begun"))


@pytest.fixture(scope="session")
def begun_run(begun_folder):
    """The base model of a folder like that of `liuli begin`."""
    return load(begun_folder / "run")
