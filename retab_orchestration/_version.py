"""The version, which the build, the metadata and the User-Agent read from here."""

__all__ = ["__version__"]

__version__ = "0.1.0"
