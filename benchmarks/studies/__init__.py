"""Stand-alone measurements, each a program: `python -m yolox_deploy.benchmarks.studies.NAME`."""
