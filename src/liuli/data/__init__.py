"""Documents from files, folders and the hub, and which of their text is held out. Knows nothing of models' weights."""
