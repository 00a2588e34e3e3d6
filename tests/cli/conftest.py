from helpers.command import liuli  # noqa: F401 (a fixture)
