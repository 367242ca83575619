"""The command line: arguments, printing and exit codes. What is done is done by `app`.

One module a command. Nothing heavy is imported before a command runs: `edge-agent --help` must not wait
for pydantic or aiohttp on a small box.
"""
