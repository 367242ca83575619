"""Takes the centre's orders: a journal that survives crashes, what each means after one, and their running.

How orders come and reports go is the uplink's; what handlers do to the agent is given to them by `app`.
"""
