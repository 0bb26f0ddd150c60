"""The simulated world: kernel, wires, devices, services and people."""
