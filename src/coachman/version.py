"""The version, for those who cannot wait for the metadata of every installed package to be looked through."""

VERSION = "0.1.0"
