"""Version of the package. Modules import it from here, because the package itself imports the public interface."""

__version__ = "0.1.0"
