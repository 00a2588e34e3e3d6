"""What texts and dialogues share: from the names that a user gives to the records in their files."""
