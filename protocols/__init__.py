"""Sans-IO codecs and connections: bytes to events and back, no socket, no clock, no chance, no log."""
