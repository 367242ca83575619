"""The agent's local face: the management API on a unix socket, /metrics, and the client for them.

It sees the agent through `contracts.status.Control` alone. Who may open the socket may manage the
agent: it lies in a private directory and has mode 0600. The TCP listener serves figures only.
"""
