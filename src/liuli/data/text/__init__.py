"""Plain text from files, folders, standard input and the hub."""
