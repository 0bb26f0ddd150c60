"""The command line of Forecourt: parses, calls the layers below, prints."""
