"""Writes into PLCs: what the local allow-list permits, each journalled before it is sent and after.

permit and values (pure) judge an order; journal keeps what became of it; writer does one at a time. Whoever
carries the request over the link is given by `app` (contracts.writing.WriteLink).
"""
