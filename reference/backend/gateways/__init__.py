"""The merchant's side of payment gateways: a port, and the platforms behind it, over an injected HTTP client."""
