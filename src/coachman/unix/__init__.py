"""The only room with system calls: descriptors, channels, signals, processes, listeners."""
