"""The requirement catalogue as data, and which tests prove which requirement."""
