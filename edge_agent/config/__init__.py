"""The YAML document: models, loading with file:line:column, the diff, the last good copy.

Settings of drivers come from a registry that `app` passes in; this room imports no driver.
"""
