"""Damages small valid files of each format: their readers must refuse them with a DataError, or read what is there."""
