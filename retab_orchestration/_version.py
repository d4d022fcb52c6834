"""The version: the one place where it is written. The build, the metadata and the User-Agent take it from here."""

__all__ = ["__version__"]

__version__ = "0.1.0"
