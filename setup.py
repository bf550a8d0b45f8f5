"""Which packages a wheel holds: pyproject.toml can not say that ``configs/`` lies inside ``ipu_app``."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["ipu_app", "ipu_app.*", "pipelines", "pipelines.*"]),
        "ipu_app.configs",
    ],
    package_dir={"ipu_app.configs": "configs"},
    package_data={
        "ipu_app.configs": ["*.yaml", "*/*.yaml"],
        "ipu_app.search": ["*.csv"],
        "pipelines": ["rows/*.csv"],
    },
)
