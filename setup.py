"""The one thing that pyproject.toml cannot say."""

from setuptools import setup

setup(cffi_modules=["runtime/_build.py:ffi"])
