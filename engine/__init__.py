"""Scene Aria's runtime: from a camera frame to what the wearer hears."""

__version__ = "0.2.0"
