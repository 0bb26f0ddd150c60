"""AA FF, the polled protocol of Chinese gas dispensers: the master's side."""
