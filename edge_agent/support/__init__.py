"""Support bundles: what a maintainer needs to help, in one archive, without secrets and without values.

`collecting` runs the collectors, each alone; `scrub` masks secrets in whatever they bring; `config_text`
masks a config as it is written, a broken one too; `archive` writes what is left. `app` brings the
collectors that need an agent, a doctor or a buffer.
"""
