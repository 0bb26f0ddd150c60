"""Modbus for a dispenser: our openly documented register map, a server that keeps the specification, a client.

Frames and PDUs are pymodbus's; cutting the stream, checking requests and keeping order are ours.
"""
