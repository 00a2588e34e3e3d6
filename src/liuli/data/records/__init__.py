"""What texts and dialogues share: from the names that a user gives to the records in their files."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
