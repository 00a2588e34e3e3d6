"""Work that runs in a process of its own, with limits of memory and time, because what it reads can come from anywhere."""
