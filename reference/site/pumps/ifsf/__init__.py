"""IFSF over TCP/IP: the controlling device's side."""
