"""The agents: what they may see (the snapshot), those that are code, and the seats of the language models.

Agents give evidence and opinions. Size, stops and vetoes belong to `risk`, orders to `execution`.
"""
