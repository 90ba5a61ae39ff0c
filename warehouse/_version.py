"""The version of the product, for the package, the build tool and the files it writes."""

__version__ = "0.1.0"
